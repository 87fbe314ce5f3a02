"""A whole server around a simulated model, or around the real one, journaled, in a process of its own.

By hand: `python loadtest/simulation/server.py --port 50051`; what it takes is set by --costs FILE (TOML, the fields of
CostModel), the server's own settings by --set, as for `qdts serve`.
"""

import argparse
import asyncio
import multiprocessing
import os
import signal
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from qdts.errors import ConfigError, Unavailable
from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.journal import Journal, Step, keep_journal
from qdts.loadtest.simulation.summarizer import SimulatedSummarizer
from qdts.service import garbage, logs
from qdts.service.application import Application
from qdts.service.config import EngineConfig, ServerConfig, Value, load_config
from qdts.service.loading import load_model
from qdts.service.main import start_until
from qdts.service.metrics import Metrics

READY_S = 120.0
STOP_S = 30.0
MAX_BATCH = 4
QUIET: Mapping[str, Value] = {
    "server.port": 0,
    "server.drain_delay_s": 0.0,
    "server.drain_grace_s": 2.0,
    "metrics.enabled": False,
    "logging.level": "error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedConfig:
    """`settings` by name, as for `qdts serve --set`, over QUIET; `costs` None serves the real model."""

    costs: CostModel | None = field(default_factory=CostModel)
    settings: Mapping[str, Value] = field(default_factory=dict[str, Value])

    def to_server(self) -> ServerConfig:
        """The server's settings; ConfigError for one it does not know."""
        simulated = {"engine.max_batch": MAX_BATCH} if self.costs is not None else {}
        return load_config(None, {}, {**QUIET, **simulated, **self.settings})


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the server's process holds at a moment."""

    resident_mb: float
    num_tasks: int
    num_files: int
    num_open: int  # summaries that hold a place in the engine


def make_loader(costs: CostModel | None, journal: Journal) -> Any:
    """What Application takes as `load`."""

    def load(config: EngineConfig) -> Any:
        summarizer = load_model(config) if costs is None else SimulatedSummarizer(costs)
        if summarizer is not None:
            keep_journal(summarizer, journal)
        return summarizer

    return load


class Served:
    """The process, from entry to exit."""

    def __init__(self, config: ServedConfig) -> None:
        config.to_server()  # a bad setting is this process's error, not a dead child
        self._here, there = multiprocessing.get_context("spawn").Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_serve, args=(config, there), daemon=True)
        self._there: Any = there
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the server's process."""
        return self._process.pid or 0

    def __enter__(self) -> "Served":
        self._process.start()
        self._there.close()  # so that the end of the other process is the end of the pipe
        self.port = self._receive(READY_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._here.close()  # which ends it
        self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def take_steps(self) -> list[Step]:
        """The steps since it was last asked."""
        self._here.send("steps")
        return self._receive(STOP_S)

    def status(self) -> Status:
        """What it holds now."""
        self._here.send("status")
        return self._receive(STOP_S)

    def value(self, name: str, **labels: str) -> float:
        """What a metric of the server's stands at now, added up over the labels that are not named."""
        self._here.send((name, labels))
        return self._receive(STOP_S)

    def _receive(self, timeout_s: float) -> Any:
        try:
            if self._here.poll(timeout_s):
                return self._here.recv()
        except EOFError:
            pass
        raise Unavailable("the server's process does not answer")


def _serve(config: ServedConfig, asked: Any) -> None:
    logs.configure("error")
    asyncio.run(_answer_questions(config, asked))


async def _answer_questions(config: ServedConfig, asked: Any) -> None:
    journal = Journal()
    application = Application(config.to_server(), load=make_loader(config.costs, journal))
    await application.start()
    garbage.settle()
    try:
        asked.send(application.port)
        while True:
            question = await asyncio.to_thread(asked.recv)
            asked.send(_answer(question, application, journal))
    except EOFError:
        return
    finally:
        await application.stop()


def _answer(question: Any, application: Application, journal: Journal) -> Any:
    if question == "steps":
        return _taken(journal)
    return _status(journal) if question == "status" else _total(application.metrics, *question)


def _total(metrics: Metrics, name: str, labels: Mapping[str, str]) -> float:
    samples = (sample for family in metrics.registry.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


def _taken(journal: Journal) -> list[Step]:
    steps, journal.steps = journal.steps, []
    return steps


def _status(journal: Journal) -> Status:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Status(
        resident_mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        num_tasks=len(asyncio.all_tasks()),
        num_files=len(os.listdir("/proc/self/fd")),
        num_open=journal.num_open,
    )


def read_costs(path: Path) -> CostModel:
    """The fields of a CostModel from TOML; ConfigError where it has no such field."""
    try:
        return CostModel(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (TypeError, tomllib.TOMLDecodeError) as fault:
        raise ConfigError(f"{path}: {fault}") from fault


async def _run(settings: ServerConfig, costs: CostModel) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    application = Application(settings, load=lambda config: SimulatedSummarizer(costs))
    try:
        await start_until(application, stop)
        await stop.wait()
    finally:
        await application.stop()


def main() -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=50051)
    parser.add_argument("--costs", type=Path, metavar="FILE", help="TOML with fields of CostModel")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting, repeatable")
    args = parser.parse_args()
    given = dict(text.partition("=")[::2] for text in args.set)
    settings = load_config(None, os.environ, {"engine.max_batch": MAX_BATCH, "server.port": args.port, **given})
    logs.configure(settings.logging.level)
    asyncio.run(_run(settings, read_costs(args.costs) if args.costs else CostModel()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
