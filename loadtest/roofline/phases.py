"""The phases of a request, each counted and timed through a runtime, as serving calls them.

encode   the document                      draft       a step of all written tokens but the last
query    the query, alone, for features    scores      of the whole vocabulary, a position per sequence
start    the document's keys and values    choice      among so many options, as under the copy constraint
prefix   the first step, nothing held      plain       encode, query, start, prefix, then token by token
token    a step of one token               drafted     the same, but the tokens in one step as a draft

The last two are requests, phases one after another: the prefix step chooses the first token, two choices are open.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from qdts.loadtest.peers.figures import quartiles
from qdts.loadtest.roofline.counting import Counting, Work
from qdts.loadtest.roofline.peaks import Peaks
from qdts.models.runtimes.base import Batch, Floats, Ids, Runtime, States
from qdts.models.runtimes.choice import Head

Line = dict[str, float | int | str | dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of a request: tokens of document, query, prefix and summary, and options of a choice; and how often each phase is
    timed."""

    document: int = 512
    query: int = 12
    prefix: int = 24
    written: int = 40
    options: int = 20
    repeats: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What is counted, and what is timed."""

    name: str
    work: Work
    run: Callable[[], object]


class Request:
    """A batch of requests in a runtime, and the output layer of the same precision."""

    def __init__(self, runtime: Runtime, head: Head, counting: Counting, sizes: Sizes, batch: int) -> None:
        self._runtime, self._head, self._counting = runtime, head, counting
        self._sizes, self._batch = sizes, batch
        self._rng = np.random.default_rng(0)
        self._hidden = self._rng.standard_normal((batch, counting.config.d_model), np.float32)

    def phases(self) -> Iterator[Phase]:
        """One after the other: each may use what those before left."""
        sizes, counting = self._sizes, self._counting
        yield self._encode("encode", sizes.document)
        yield self._encode("query", sizes.query)
        states = self._runtime.encode(self._texts(sizes.document))
        start = counting.start(self._batch, sizes.document)
        yield Phase(name="start", work=start, run=lambda: self._start(states))
        fresh = self._start(states)
        yield self._step("prefix", fresh, sizes.prefix, held=0)
        begun = self._start(states)
        self._runtime.step(begun, *self._tokens(sizes.prefix))
        yield self._step("token", begun, 1, held=sizes.prefix)
        yield self._step("draft", begun, sizes.written - 1, held=sizes.prefix)
        yield from self._choices()

    def _texts(self, num_tokens: int) -> list[Ids]:
        return [self._rng.integers(100, self._counting.config.vocab_size, num_tokens) for _ in range(self._batch)]

    def _encode(self, name: str, num_tokens: int) -> Phase:
        texts = self._texts(num_tokens)
        return Phase(
            name=name,
            work=self._counting.encode(self._batch, num_tokens),
            run=lambda: self._runtime.encode(texts),
        )

    def _start(self, states: list[States]) -> Batch:
        num_features = self._runtime.num_features
        features: Floats | None = np.zeros((self._sizes.document, num_features), np.float32) if num_features else None
        return self._runtime.start(states, [features] * self._batch)

    def _tokens(self, count: int) -> tuple[Ids, Ids, list[list[Ids | None]]]:
        """Tokens, counts, and one permitted id after each: nothing is scored."""
        tokens = np.full((self._batch, count), 2, np.int64)
        return tokens, np.full(self._batch, count), [[np.full(1, 2, np.int64)] * count] * self._batch

    def _step(self, name: str, batch: Batch, count: int, *, held: int) -> Phase:
        inputs = self._tokens(count)
        nothing: list[Ids] = [np.zeros(0, np.int64)] * self._batch

        def run() -> None:
            self._runtime.step(batch, *inputs)
            self._runtime.keep(batch, nothing)

        return Phase(name=name, work=self._counting.step(self._batch, count, self._sizes.document, held), run=run)

    def _choices(self) -> Iterator[Phase]:
        head, options = self._head, self._sizes.options
        ids = np.arange(options)
        yield Phase(name="scores", work=self._counting.scores(self._batch), run=lambda: head.best(self._hidden))
        yield Phase(
            name="choice",
            work=self._counting.choice(self._batch, options),
            run=lambda: [head.scores(state[None], ids) for state in self._hidden],
        )


@dataclass(slots=True)
class Measured:
    """One phase, or several one after another: milliseconds of each repeat, and what the machine could have done it in
    at that moment: by its operations, by its bytes, by the longer of the two."""

    name: str
    work: Work
    ms: list[float] = field(default_factory=list[float])
    compute_ms: list[float] = field(default_factory=list[float])
    read_ms: list[float] = field(default_factory=list[float])
    floor_ms: list[float] = field(default_factory=list[float])

    def add(self, ms: float, peaks: Peaks) -> None:
        """One repeat more."""
        self.ms.append(ms)
        self.compute_ms.append(peaks.compute_ms(self.work))
        self.read_ms.append(peaks.read_ms(self.work))
        self.floor_ms.append(max(self.compute_ms[-1], self.read_ms[-1]))

    def line(self) -> Line:
        """Giga-operations, megabytes, medians of milliseconds; `roofline`: the share of what the machine could do."""
        shares = [floor / ms for floor, ms in zip(self.floor_ms, self.ms, strict=True)]
        return {
            "phase": self.name,
            "gop": round(self.work.ops / 1e9, 4),
            "int8_share": round(self.work.int_ops / self.work.ops, 3),
            "megabytes": round(self.work.num_bytes / 1e6, 3),
            "ms": quartiles(self.ms, digits=4),
            "compute_ms": round(float(np.median(self.compute_ms)), 4),
            "read_ms": round(float(np.median(self.read_ms)), 4),
            "floor_ms": round(float(np.median(self.floor_ms)), 4),
            "roofline": round(float(np.median(shares)), 3),
        }


def measure(phases: Iterable[Phase], sizes: Sizes, sample: Callable[[], Peaks]) -> list[Measured]:
    """Each phase, then the requests made of them. `sample` tells the machine's peaks, anew before each repeat."""
    found = {phase.name: _time(phase, sizes.repeats, sample) for phase in phases}
    later = sizes.written - 1  # the first token is the prefix step's choice
    parts = {"encode": 1, "query": 1, "start": 1, "prefix": 1, "choice": 2}
    plain = _in_a_row("plain", found, parts | {"token": later})
    return [*found.values(), plain, _in_a_row("drafted", found, parts | {"draft": 1})]


def _in_a_row(name: str, found: Mapping[str, Measured], counts: Mapping[str, int]) -> Measured:
    parts = [found[part] for part, count in counts.items() for _ in range(count)]

    def added(lists: Iterable[list[float]]) -> list[float]:
        return [sum(repeat) for repeat in zip(*lists, strict=True)]

    return Measured(
        name,
        sum((part.work for part in parts), Work()),
        ms=added(part.ms for part in parts),
        compute_ms=added(part.compute_ms for part in parts),
        read_ms=added(part.read_ms for part in parts),
        floor_ms=added(part.floor_ms for part in parts),
    )


def _time(phase: Phase, repeats: int, sample: Callable[[], Peaks]) -> Measured:
    found = Measured(phase.name, phase.work)
    for _ in tqdm(range(repeats), desc=phase.name, leave=False):
        peaks = sample()
        phase.run()  # what it needs is in the caches again
        started = time.perf_counter()
        phase.run()
        found.add(1000 * (time.perf_counter() - started), peaks)
    return found
