"""Sequences join a batch and leave it between steps: each says what it says alone, and what has left costs nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qdts.models.runtimes.base import Floats, Noise, Runtime, States
from qdts.models.runtimes.batching import close_gaps
from qdts.models.runtimes.eager import EagerRuntime
from qdts.models.runtimes.onnx_runtime import OnnxRuntime
from qdts.models.runtimes.tensorrt.runtime import TensorRtRuntime

# What the engines of the TensorRT runtime take here.
MOST_ROWS = 4
NUM_TOKENS = 14


@dataclass(frozen=True, repr=False)
class Sequence:
    """A document to be continued, and what follows it when it is alone."""

    states: States
    features: Floats | None
    noise: Noise | None
    said: list[int]


Said = Callable[[Runtime], list[Sequence]]


def read(runtime: Runtime) -> list[Sequence]:
    random = np.random.default_rng(11)
    found: list[Sequence] = []
    for index, length in enumerate((150, 40, 1, 200, 64, 199)):
        (states,) = runtime.encode([random.integers(2, 128, length)])
        features = None if index == 1 else random.random((length, 4), np.float32)
        noise = Noise(seed=index, temperature=1.0) if index % 3 == 2 else None
        found.append(Sequence(states, features, noise, alone(runtime, states, features, noise)))
    return found


def alone(runtime: Runtime, states: States, features: Floats | None, noise: Noise | None) -> list[int]:
    batch, tokens = runtime.start([states], [features], [noise]), [0]
    for _ in range(NUM_TOKENS):
        tokens.append(int(runtime.step(batch, np.array([tokens[-1:]]), np.ones(1, np.int64))[0, 0]))
    return tokens


@pytest.fixture(scope="session")
def said() -> Said:
    """The sequences of a runtime; each is read once."""
    known: dict[int, list[Sequence]] = {}
    return lambda runtime: (
        known.setdefault(id(runtime), []) or known[id(runtime)].extend(read(runtime)) or known[id(runtime)]
    )


class Rows:
    """A batch of which it is known which sequence each row is, and how much of it is read."""

    def __init__(self, runtime: Runtime, first: list[Sequence]) -> None:
        self.runtime = runtime
        self.batch = runtime.start(*self._inputs(first))
        self.rows = [(sequence, 0) for sequence in first]

    def join(self, more: list[Sequence]) -> None:
        self.runtime.join(self.batch, *self._inputs(more))
        self.rows += [(sequence, 0) for sequence in more]

    def leave(self, rows: list[int]) -> None:
        kept = self.runtime.leave(self.batch, np.array(rows, np.int64))
        assert sorted(kept.tolist()) == [row for row in range(len(self.rows)) if row not in rows]
        self.rows = [self.rows[row] for row in kept]

    def step(self, counts: list[int]) -> None:
        """So many tokens more of each; what follows them is what follows them when it is alone."""
        tokens = np.zeros((len(self.rows), max(counts)), np.int64)
        for row, ((sequence, length), count) in enumerate(zip(self.rows, counts, strict=True)):
            tokens[row, :count] = sequence.said[length : length + count]
        chosen = self.runtime.step(self.batch, tokens, np.array(counts))
        for row, ((sequence, length), count) in enumerate(zip(self.rows, counts, strict=True)):
            assert chosen[row, :count].tolist() == sequence.said[length + 1 : length + count + 1]
            self.rows[row] = (sequence, length + count)
        self.runtime.keep(self.batch, [np.arange(count) for count in counts])
        assert self.batch.lengths.tolist() == [length for _, length in self.rows]

    def left(self, row: int) -> int:
        return NUM_TOKENS - self.rows[row][1]

    def _inputs(self, sequences: list[Sequence]) -> tuple[list[States], list[Floats | None], list[Noise | None]]:
        return [one.states for one in sequences], [one.features for one in sequences], [one.noise for one in sequences]


@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whoever_comes_and_goes_each_says_what_it_says_alone(runtime: Runtime, said: Said, data: st.DataObject) -> None:
    sequences = st.sampled_from(said(runtime))
    rows = Rows(runtime, data.draw(st.lists(sequences, min_size=1, max_size=MOST_ROWS), label="start"))
    for _ in range(data.draw(st.integers(1, 8), label="turns")):
        leaving = sorted(data.draw(st.sets(st.sampled_from(range(len(rows.rows)))), label="leave") if rows.rows else [])
        if leaving:
            rows.leave(leaving)
        more = data.draw(st.lists(sequences, max_size=MOST_ROWS - len(rows.rows)), label="join")
        if more:
            rows.join(more)
        if rows.rows:
            counts = [data.draw(st.integers(0, min(3, rows.left(row))), label="count") for row in range(len(rows.rows))]
            if any(counts):
                rows.step(counts)


def test_the_last_may_leave_and_others_join(runtime: Runtime, said: Said) -> None:
    long, short, sampled, *_ = said(runtime)
    rows = Rows(runtime, [long])
    rows.step([3])
    rows.leave([0])
    assert rows.batch.lengths.tolist() == []
    rows.join([short, sampled])
    rows.step([2, 1])
    rows.step([1, 4])


def spy(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each step computes."""
    seen: list[int] = []
    inner: tuple[Any, str]
    if isinstance(runtime, EagerRuntime):
        inner = (runtime._net, "step")
    elif isinstance(runtime, OnnxRuntime):
        inner = (runtime._step, "run")
    else:
        assert isinstance(runtime, TensorRtRuntime)
        inner = (runtime._engines.step, "run")
    run = getattr(*inner)

    def watched(first: Any, *rest: Any) -> Any:
        seen.append(len(first["embedded"] if isinstance(first, dict) else first))
        return run(first, *rest)

    monkeypatch.setattr(*inner, watched)
    return seen


def test_what_has_left_is_not_computed(runtime: Runtime, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = spy(runtime, monkeypatch)
    rows = Rows(runtime, said(runtime)[:4])
    rows.step([1] * 4)
    rows.leave([0, 2])
    rows.step([1] * 2)
    rows.leave([1])
    rows.step([1])
    rows.join(said(runtime)[4:5])
    rows.step([1] * 2)
    assert computed == [4, 2, 1, 2]


def test_what_cannot_join_leaves_the_batch_as_it_was(runtime: Runtime, said: Said) -> None:
    good, other, *_ = said(runtime)
    rows = Rows(runtime, [good])
    rows.step([2])
    wrong = States(hidden=good.states.hidden[:, :5])
    with pytest.raises(Exception):  # noqa: B017, PT011 - each runtime has its own
        runtime.join(rows.batch, [other.states, wrong], [other.features, None])
    rows.step([2])
    rows.join([other])
    rows.step([1, 2])


@given(num_rows=st.integers(0, 9), leaving=st.sets(st.integers(0, 8)))
def test_the_last_rows_fill_the_gaps(num_rows: int, leaving: set[int]) -> None:
    gone = sorted(row for row in leaving if row < num_rows)
    kept = close_gaps(num_rows, np.array(gone, np.int64)).tolist()
    assert sorted(kept) == [row for row in range(num_rows) if row not in gone]
    moved = [(place, row) for place, row in enumerate(kept) if place != row]
    assert all(place in gone and row >= len(kept) for place, row in moved)
