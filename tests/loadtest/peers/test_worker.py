"""Processes: what is timed, who works, and what becomes of one that fails."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from qdts.loadtest.peers.base import Request, Role, Scenario, System, Weights, Written
from qdts.loadtest.peers.ways import Desk
from qdts.loadtest.peers.worker import (
    Job,
    WorkerLost,
    answer,
    build,
    open_workers,
    peak_memory_mb,
    thread_limit,
)

FAKE = '''
import os
from qdts.loadtest.peers.base import Written

class Fake:
    """Writes its variant, and the threads it may use."""

    def __init__(self, directory, variant, num_threads):
        if variant == "broken":
            raise SystemExit(3)
        self.number = int(variant)

    def read(self, requests):
        return self.number

    def write(self, known, requests):
        return [Written(tokens=[known, int(os.environ["OMP_NUM_THREADS"])], num_steps=1)] * len(requests)
'''


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An engine that processes can import."""
    (tmp_path / "fake_engine.py").write_text(FAKE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "fake_engine:Fake"


def make_system(name: str, engine: str, variant: str) -> System:
    return System(name=name, engine=engine, variant=variant, role=Role.PEER, keeps_states=True)


class Slow:
    """Reads for 20 ms, writes slower the first time."""

    def __init__(self) -> None:
        self.num_written = 0

    def read(self, requests: Sequence[Request]) -> str:
        time.sleep(0.02)
        return "known"

    def write(self, known: Any, requests: Sequence[Request]) -> list[Written]:
        assert known == "known"
        self.num_written += 1
        time.sleep(0.06 if self.num_written == 1 else 0.0)
        return [Written(tokens=[self.num_written], num_steps=1) for _ in requests]


@pytest.mark.parametrize(("scenario", "least", "most"), [(Scenario.JOINT, 20, 60), (Scenario.INDEXED, 0, 20)])
def test_reading_counts_only_where_the_document_is_new(
    asked: Sequence[Request], scenario: Scenario, least: float, most: float
) -> None:
    found = answer(Desk(Slow(), list), Job(requests=asked[:1], scenario=scenario, repeats=3))
    assert least <= found.ms < most
    assert 5 < found.peak_mb < 50_000
    assert found.written[0].tokens != [1]  # the first repeat was the slowest


class Keeping(Slow):
    """Keeps what it knows in capitals."""

    def keep(self, known: str) -> str:
        return known.upper()

    def write(self, known: Any, requests: Sequence[Request]) -> list[Written]:
        return [Written(tokens=[int(known == "KNOWN")], num_steps=1) for _ in requests]


def test_a_known_document_is_handed_over_as_it_is_kept(asked: Sequence[Request]) -> None:
    desk = Desk(Keeping(), list)
    for scenario, number in ((Scenario.JOINT, 0), (Scenario.INDEXED, 1)):
        found = answer(desk, Job(requests=asked[:1], scenario=scenario))
        assert found.written[0].tokens == [number]


def states_of_children() -> set[str]:
    """The kernel's letter for each child of this process."""
    stats = [Path(f"/proc/{child.pid}/stat").read_text() for child in multiprocessing.active_children()]
    return {stat.rpartition(")")[2].split()[0] for stat in stats}


def test_processes_answer_and_rest_stopped(fake: str, asked: Sequence[Request], tmp_path: Path) -> None:
    systems = [make_system("one", fake, "1"), make_system("two", fake, "2"), make_system("bad", fake, "broken")]
    job = Job(requests=asked[:2], scenario=Scenario.JOINT)
    with open_workers(systems, tmp_path, 2) as workers:
        assert workers.lost == {"bad": "not loaded: bad ended with exit code 3"}
        answers = [[one.tokens for one in workers.running[name].ask(job).written] for name in ("one", "two", "one")]
        assert answers == [[[1, 2]] * 2, [[2, 2]] * 2, [[1, 2]] * 2]
        assert states_of_children() == {"T"}
        workers.running["one"].finish()
    assert multiprocessing.active_children() == []


def test_threads_are_limited_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with thread_limit(2):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("2", "2")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_peak_memory_never_falls() -> None:
    before = peak_memory_mb()
    block = bytearray(os.urandom(1)) * (64 << 20)
    assert peak_memory_mb() >= max(before, len(block) / (1 << 20))


BUILDER = """
from qdts.loadtest.peers.base import CannotBuild

class Fake:
    @classmethod
    def build(cls, directory, variant):
        if variant == "refused":
            raise CannotBuild("no such layer")
        if variant == "broken":
            raise ValueError(variant)
"""


def test_what_cannot_be_built_is_told_and_what_fails_otherwise_is_an_error(
    weights: Weights, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fake_builder.py").write_text(BUILDER, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    good, refused, broken = (make_system(name, "fake_builder:Fake", name) for name in ("good", "refused", "broken"))
    assert build([good, refused], work, weights, 1) == {"refused": "no such layer"}
    with pytest.raises(WorkerLost, match="building encoder_decoder: ended with exit code 1"):
        build([good, broken], work, weights, 1)
