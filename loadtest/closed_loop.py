"""So many callers, each of whom asks again as soon as it is answered: how much a server can take.

Bytes go out as they were given and come back unread: the driver must not be what is measured. It runs in a process of
its own and says what processor time that took.
"""

import asyncio
import itertools
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc
import grpc.aio

from qdts.errors import Unavailable
from qdts.service.bench.figures import Latency
from qdts.service.limits import require_between

METHOD = "/qdts.v1.SummarizationService/Summarize"
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedConfig:
    """Callers share the connections; `warm_s` come before the `seconds` that are measured."""

    url: str
    num_callers: int
    num_connections: int = 4
    seconds: float = 5.0
    warm_s: float = 1.0

    def __post_init__(self) -> None:
        require_between("closed_loop.num_callers", self.num_callers, 1, 10_000)
        require_between("closed_loop.num_connections", self.num_connections, 1, 1000)
        require_between("closed_loop.seconds", self.seconds, 0.1, 3600)
        require_between("closed_loop.warm_s", self.warm_s, 0, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedRun:
    """`rps` and `latency` are of the measured seconds, the counts of the whole run."""

    rps: float
    latency: Latency
    num_answered: int
    num_failed: int
    driver_cpu_ms_per_rpc: float


def drive_closed(requests: Sequence[bytes], config: ClosedConfig) -> ClosedRun:
    """Ask the requests in turn, over and over. Unavailable if the driver's process ends without a result."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    driver = context.Process(target=_drive_and_tell, args=(requests, config, there))
    driver.start()
    there.close()
    try:
        return cast(ClosedRun, here.recv())
    except EOFError:
        raise Unavailable("the driver's process ended without a result") from None
    finally:
        driver.join()


def _drive_and_tell(requests: Sequence[bytes], config: ClosedConfig, told: Any) -> None:
    told.send(asyncio.run(drive(requests, config)))


async def drive(requests: Sequence[bytes], config: ClosedConfig) -> ClosedRun:
    """As drive_closed, in this process."""
    # Without a pool of its own, channels to one address share one connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(config.url, options) for _ in range(config.num_connections)]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        return await _Callers(requests, config).run(channels)
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


class _Callers:
    """Of one run."""

    def __init__(self, requests: Sequence[bytes], config: ClosedConfig) -> None:
        self._requests = itertools.cycle(requests)
        self._config = config
        self._ended: list[tuple[float, float]] = []  # when, after how long
        self._num_failed = 0

    async def run(self, channels: Sequence[grpc.aio.Channel]) -> ClosedRun:
        """Ask over these channels in turn, each caller over one, until the time is up."""
        config = self._config
        started_at, used_s = time.perf_counter(), time.process_time()
        ends_at = started_at + config.warm_s + config.seconds
        calls = [cast(Any, channel.unary_unary(METHOD)) for channel in channels]
        async with asyncio.TaskGroup() as callers:
            for number in range(config.num_callers):
                callers.create_task(self._ask(calls[number % len(calls)], ends_at))
        measured = [took_s for at, took_s in self._ended if started_at + config.warm_s <= at <= ends_at]
        num_all = len(self._ended) + self._num_failed
        return ClosedRun(
            rps=len(measured) / config.seconds,
            latency=Latency.of(measured),
            num_answered=len(self._ended),
            num_failed=self._num_failed,
            driver_cpu_ms_per_rpc=1000 * (time.process_time() - used_s) / max(1, num_all),
        )

    async def _ask(self, call: Any, ends_at: float) -> None:
        while (asked_at := time.perf_counter()) < ends_at:
            try:
                await call(next(self._requests), timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError:
                self._num_failed += 1
                continue
            now = time.perf_counter()
            self._ended.append((now, now - asked_at))
