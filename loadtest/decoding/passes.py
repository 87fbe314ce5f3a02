"""Batches written with each drafter in turn, so that what else runs on the machine hits all alike.

Plain and gated decoding run right after one another, in alternating order, as often as it takes for enough pairs: their
ratio is what "never slower" means. The others follow once each.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from qdts.loadtest.decoding.documents import Documents, Read
from qdts.loadtest.decoding.drafters import GATED, PLAIN, Make, drafters
from qdts.models.copy_source import copy_state
from qdts.models.decoding.gate import DraftGate
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.runtimes.base import Runtime
from qdts.models.summarizer import SummarizerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One batch, written: tokens per row, steps summed over rows, milliseconds per request to open and to write."""

    outputs: list[list[int]]
    num_steps: int
    start_ms: float
    ms: float


@dataclass(slots=True)
class Tally:
    """What one drafter did over all batches."""

    outputs: list[list[int]] = field(default_factory=list[list[int]])
    num_steps: int = 0
    start_ms: list[float] = field(default_factory=list[float])
    ms: list[float] = field(default_factory=list[float])

    def add(self, run: Run) -> None:
        """One batch more."""
        self.outputs += run.outputs
        self.num_steps += run.num_steps
        self.start_ms.append(run.start_ms)
        self.ms.append(run.ms)

    @property
    def tokens_per_step(self) -> float:
        """Of one sequence, the chosen token included."""
        return sum(map(len, self.outputs)) / self.num_steps


@dataclass(slots=True)
class Comparison:
    """Tallies by drafter, and gated over plain milliseconds of each pair."""

    tallies: dict[str, Tally]
    pairs: list[float] = field(default_factory=list[float])


def decode(runtime: Runtime, group: Sequence[Read], make: Make, gate: DraftGate | None) -> Run:
    """Write the summaries of one batch."""
    config = SummarizerConfig()
    begun = time.perf_counter()
    batch = runtime.start([one.states for one in group], [one.features for one in group])
    rows: list[Row] = []
    for one in group:
        state = copy_state(one.prompt, trims=False)
        rows.append(Row(one.prompt.prefix.tolist(), state, make(one.prompt, state)))
    decoder = GreedyDecoder(
        runtime, batch, rows, max_tokens=config.max_output_tokens, max_draft=config.max_draft, gate=gate
    )
    opened, num_steps = time.perf_counter(), 0
    while decoder.active:
        num_steps += len(decoder.active)
        decoder.step()
    per_request = 1000 / len(group)
    return Run(
        outputs=[row.tokens for row in rows],
        num_steps=num_steps,
        start_ms=per_request * (opened - begun),
        ms=per_request * (time.perf_counter() - opened),
    )


def compare(
    runtime: Runtime,
    documents: Documents,
    groups: Sequence[Sequence[int]],
    gate: DraftGate,
    *,
    names: Sequence[str],
    min_pairs: int,
) -> Comparison:
    """Plain and gated decoding, and the others in `names`, over all groups of rows."""
    makes = drafters()
    found = Comparison({name: Tally() for name in makes if name in names})
    repeats = -(-min_pairs // len(groups))
    size = len(groups[0])
    for number, group in enumerate(tqdm(groups, desc=f"{runtime.info.name}, batches of {size}", leave=False)):
        loaded = documents.load(group)
        for repeat in range(repeats):
            pair = _pair(runtime, loaded, makes, gate, is_plain_first=(number + repeat) % 2 == 0)
            found.pairs.append(pair[GATED].ms / pair[PLAIN].ms)
            if repeat == 0:
                found.tallies[PLAIN].add(pair[PLAIN])
                found.tallies[GATED].add(pair[GATED])
        for name in _turn([name for name in found.tallies if name not in (PLAIN, GATED)], number):
            found.tallies[name].add(decode(runtime, loaded, makes[name], None))
    return found


def _pair(
    runtime: Runtime, group: Sequence[Read], makes: dict[str, Make], gate: DraftGate, *, is_plain_first: bool
) -> dict[str, Run]:
    order = (PLAIN, GATED) if is_plain_first else (GATED, PLAIN)
    return {name: decode(runtime, group, makes[name], gate if name == GATED else None) for name in order}


def _turn(names: Sequence[str], number: int) -> Iterator[str]:
    """In another order each time: the first of a batch meets cold caches."""
    first = number % len(names) if names else 0
    yield from (*names[first:], *names[:first])
