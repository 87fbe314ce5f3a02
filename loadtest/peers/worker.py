"""A process for each system, so that neither threads nor memory of one are those of another.

Only one works at a time: the others are stopped, because thread pools go on spinning for a while after their work.
"""

import logging
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol, Self

from qdts.loadtest.peers.base import (
    CannotBuild,
    Engine,
    KeepingEngine,
    Request,
    Scenario,
    System,
    Way,
    Weights,
    Written,
)
from qdts.loadtest.peers.ways import Desk

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM")
# Processes begin afresh: a forked one would share memory and half a thread pool with its parent.
_context = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Requests that are given at once, `repeats` times in a row; of a known document only the writing is timed."""

    requests: Sequence[Request]
    scenario: Scenario
    repeats: int = 1
    way: Way = Way.WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was written for each request, the milliseconds of the fastest repeat, and the memory it took until now."""

    written: Sequence[Written]
    ms: float
    way: Way = Way.WHOLE
    peak_mb: float = 0.0


class Asked(Protocol):
    """What answers jobs, at once or in a process of its own."""

    def ask(self, job: Job) -> Answer:
        """The answer."""
        ...


def answer(desk: Desk, job: Job) -> Answer:
    """Do the job. The first repeat finds cold caches, so the fastest is told."""
    desk.prepare(job.way)
    ms, written = min((_timed(desk, job) for _ in range(job.repeats)), key=lambda one: one[0])
    return Answer(written=written, ms=ms, way=job.way, peak_mb=peak_memory_mb())


def _timed(desk: Desk, job: Job) -> tuple[float, Sequence[Written]]:
    known = _known(desk.engine, job.requests) if job.scenario is Scenario.INDEXED else None
    started = time.perf_counter()
    if job.scenario is Scenario.INDEXED:
        written = desk.engine.write(known, job.requests)
    else:
        written = desk.write_all(job.requests, job.way)
    return 1000 * (time.perf_counter() - started), written


def _known(engine: Engine, requests: Sequence[Request]) -> Any:
    """What the engine has kept of documents, in the form in which it keeps it."""
    known = engine.read(requests)
    return engine.keep(known) if isinstance(engine, KeepingEngine) else known


def peak_memory_mb() -> float:
    """The most resident memory of this process so far, what it was started from left aside."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _serve(connection: Connection, system: System, work: Path, num_threads: int) -> None:
    engine = system.open(work, num_threads)
    desk = Desk(engine, lambda: [system.open(work, 1) for _ in range(num_threads)])
    connection.send(None)  # loaded
    while (job := connection.recv()) is not None:
        connection.send(answer(desk, job))


class WorkerLost(RuntimeError):
    """A system's process ended before it was told to; its own words are on standard error."""


class Worker:
    """A system's process. It is stopped whenever it has nothing to do."""

    def __init__(self, system: System, work: Path, num_threads: int) -> None:
        self._name = system.name
        self._connection, theirs = _context.Pipe()
        with thread_limit(num_threads):
            self._process = _context.Process(target=_serve, args=(theirs, system, work, num_threads), daemon=True)
            self._process.start()
        theirs.close()

    def wait(self) -> Self:
        """Until the system is loaded."""
        self._receive()
        self._signal(signal.SIGSTOP)
        return self

    def ask(self, job: Job) -> Answer:
        """The answer; nothing else of this benchmark works meanwhile."""
        self._signal(signal.SIGCONT)
        self._connection.send(job)
        found = self._receive()
        self._signal(signal.SIGSTOP)
        assert isinstance(found, Answer)
        return found

    def finish(self) -> None:
        """End the process."""
        self._signal(signal.SIGCONT)
        self._connection.send(None)
        self._process.join()

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()

    def _receive(self) -> object:
        try:
            return self._connection.recv()
        except EOFError:
            self._process.join()
            raise WorkerLost(f"{self._name} ended with exit code {self._process.exitcode}") from None

    def _signal(self, number: signal.Signals) -> None:
        if self._process.pid is None or not self._process.is_alive():
            return
        os.kill(self._process.pid, number)
        if number == signal.SIGSTOP:
            # Until it has stopped, or ended; whoever joins it must still find it.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


@contextmanager
def thread_limit(num_threads: int) -> Iterator[None]:
    """For processes started meanwhile: libraries that read their threads from the environment use as many as that.

    numpy's products have one: its threads would spin for 25 ms after each and take the engine's cores (measured: 111
    instead of 50 ms for OpenVINO, whose features are added in numpy).
    """
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    threads = dict.fromkeys(_THREAD_VARIABLES, str(num_threads))
    os.environ.update(threads | {"OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@dataclass(frozen=True, slots=True)
class Workers:
    """Systems' processes by name, and why others could not be loaded."""

    running: dict[str, Worker]
    lost: dict[str, str]


@contextmanager
def open_workers(systems: list[System], work: Path, num_threads: int) -> Iterator[Workers]:
    """One after the other: what is measured while loading must not be disturbed, either."""
    workers = Workers({}, {})
    try:
        for system in systems:
            worker = workers.running[system.name] = Worker(system, work, num_threads)
            try:
                worker.wait()
            except WorkerLost as error:
                workers.lost[system.name] = f"not loaded: {error}"
                del workers.running[system.name]
        yield workers
    finally:
        for worker in workers.running.values():
            worker.kill()


def build(systems: Sequence[System], work: Path, weights: Weights, num_threads: int) -> dict[str, str]:
    """Make what the systems need under `work`, each family in a process of its own; what is there is kept.

    Returns by name why a system cannot be made of these weights. WorkerLost where a process failed otherwise.
    """
    families = {system.family: [one for one in systems if one.family is system.family] for system in systems}
    with thread_limit(num_threads):
        builders = {family: _Builder(members, work, weights) for family, members in families.items()}
    found: dict[str, str] = {}
    for family, builder in builders.items():
        try:
            found |= builder.finish()
        except WorkerLost as error:
            raise WorkerLost(f"building {family.value}: {error}") from error
    return found


class _Builder:
    """A family's process."""

    def __init__(self, systems: list[System], work: Path, weights: Weights) -> None:
        self._connection, theirs = _context.Pipe(duplex=False)
        self._process = _context.Process(target=_build, args=(theirs, systems, work, weights))
        self._process.start()
        theirs.close()

    def finish(self) -> dict[str, str]:
        """Wait for it; what it says of the systems that it could not make."""
        try:
            found: dict[str, str] = self._connection.recv()
        except EOFError:
            found = {}
        self._process.join()
        if self._process.exitcode:
            raise WorkerLost(f"ended with exit code {self._process.exitcode}")
        return found


def _build(connection: Connection, systems: list[System], work: Path, weights: Weights) -> None:
    from qdts.loadtest.peers import nets

    family = systems[0].family
    failed: dict[str, str] = {}
    # Converters talk: standard output is the report's alone.
    logging.getLogger().setLevel(logging.ERROR)
    with redirect_stdout(sys.stderr):
        nets.write(family, work, weights)
        for system in systems:
            try:
                system.load().build(work / family.value, system.variant)
            except CannotBuild as error:
                failed[system.name] = str(error)
    connection.send(failed)
