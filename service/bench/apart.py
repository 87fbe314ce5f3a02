"""The driver in processes of its own, so that neither the caller's work nor a server in it delays an arrival.

Arrivals are dealt out in turn, and all processes begin at the same time, once all of them are connected: what they
send together is the load that was planned.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from qdts.errors import QdtsError, Unavailable
from qdts.service import garbage
from qdts.service.bench.driver import DriverConfig, Run, drive
from qdts.service.bench.workload import Arrival

# From the moment when all are connected to second 0: for every process to have heard of it.
LEAD_S = 0.05


def drive_apart(arrivals: Sequence[Arrival], config: DriverConfig) -> Run:
    """drive(), by as many processes as the config says. Unavailable if one of them cannot, or ends without a result."""
    drivers = [_Apart(arrivals[number :: config.num_processes], config) for number in range(config.num_processes)]
    try:
        for driver in drivers:
            driver.hear()
        started_at = time.monotonic() + LEAD_S  # all processes of a machine have this clock
        for driver in drivers:
            driver.tell(started_at)
        runs: list[Run] = [driver.hear() for driver in drivers]
    finally:
        for driver in drivers:
            driver.end()
    outcomes = sorted((outcome for run in runs for outcome in run.outcomes), key=lambda outcome: outcome.number)
    return Run(started_at=started_at, outcomes=tuple(outcomes))


class _Apart:
    """One process, as its parent sees it."""

    def __init__(self, arrivals: Sequence[Arrival], config: DriverConfig) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_drive_and_tell, args=(arrivals, config, there), daemon=True)
        self._process.start()
        there.close()  # so that its end is the end of the pipe

    def hear(self) -> Any:
        """What it says next."""
        try:
            told = self._here.recv()
        except EOFError:
            raise Unavailable("a driver's process ended without a result") from None
        if isinstance(told, QdtsError):
            raise told
        return told

    def tell(self, started_at: float) -> None:
        """When second 0 is."""
        self._here.send(started_at)

    def end(self) -> None:
        """Of one that has said all there is, or of one that nobody waits for."""
        self._here.close()
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()


def _drive_and_tell(arrivals: Sequence[Arrival], config: DriverConfig, pipe: "Connection[Any, Any]") -> None:
    garbage.settle()  # a pause here would be taken for one of the server

    async def start() -> float:
        pipe.send("connected")
        return await asyncio.to_thread(pipe.recv)

    try:
        pipe.send(asyncio.run(drive(arrivals, config, start)))
    except Unavailable as error:
        pipe.send(error)
