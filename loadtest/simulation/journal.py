"""Around any summariser, simulated or real: when each step began, and for which requests.

Requests are told apart by a number at the end of their query, " #17", which the summariser itself does not get to
see. The driver knows when each request ended, by the same clock: together they say which steps were for nobody.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qdts.models.document import Document
from qdts.service.bench.driver import Run
from qdts.service.bench.outcome import LATE_S, MODEL_RUNGS

_NUMBER = re.compile(r" #(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: when it began (time.monotonic()) and the numbers of the requests it was for."""

    began_at: float
    numbers: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Journal:
    """Steps for numbered requests, and how many summaries hold a place."""

    steps: list[Step] = field(default_factory=list[Step])
    num_open: int = 0


def keep_journal(summarizer: Any, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
    """Have the summariser note its steps, from now on.

    Its own methods are replaced, on this one object: it stays what it is for whoever asks what it can do.
    """
    prepare, start = summarizer.prepare, summarizer.start
    # By identity: prompts are the summariser's own, and need not be hashable. A number is set again before the
    # address of a prompt that is gone is used again.
    numbers: dict[int, int | None] = {}

    def numbered(query: str, document: Document, **options: Any) -> Any:
        found = _NUMBER.search(query)
        prompt = prepare(_NUMBER.sub("", query), document, **options)
        numbers[id(prompt)] = int(found[1]) if found else None
        return prompt

    def noted(prompts: Sequence[Any]) -> Any:
        generation = start(prompts)
        _Notes(generation, journal, numbers, clock).add(range(len(prompts)), prompts)
        return generation

    summarizer.prepare, summarizer.start = numbered, noted


class _Notes:
    """Of one generation."""

    def __init__(
        self, generation: Any, journal: Journal, numbers: dict[int, int | None], clock: Callable[[], float]
    ) -> None:
        self._generation = generation
        self._journal = journal
        self._numbers = numbers
        self._clock = clock
        self._by_index: dict[int, int | None] = {}
        self._join, self._step, self._release = generation.join, generation.step, generation.release
        generation.join, generation.step, generation.release = self.join, self.step, self.release

    def add(self, indices: Iterable[int], prompts: Sequence[Any]) -> None:
        """Whose the indices are."""
        for index, prompt in zip(indices, prompts, strict=True):
            self._by_index[index] = self._numbers.pop(id(prompt), None)
            self._journal.num_open += 1

    def join(self, prompts: Sequence[Any]) -> Sequence[int]:
        """As the generation's; whose they are is noted."""
        indices = self._join(prompts)
        self.add(indices, prompts)
        return indices

    def step(self) -> None:
        """As the generation's; when it began and for whom is noted."""
        numbers = (self._by_index[index] for index in self._generation.active)
        step = Step(began_at=self._clock(), numbers=tuple(number for number in numbers if number is not None))
        if step.numbers:
            self._journal.steps.append(step)
        self._step()

    def release(self, index: int) -> None:
        """As the generation's."""
        self._release(index)
        self._journal.num_open -= self._by_index.pop(index, -1) != -1


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """Steps count once per request they were for. `wasted`: begun when that request was over, or its deadline was."""

    taken: int
    wasted: int
    unused: int  # for requests that were then not answered by the model, the wasted ones included


def count_steps(steps: Iterable[Step], run: Run) -> StepFigures:
    """What the steps of one run were good for. A request's end reaches the server within LATE_S."""
    by_number = {outcome.number: outcome for outcome in run.outcomes}
    dead_at = {
        number: run.started_at + min(outcome.ended_s, outcome.planned_s + outcome.deadline_s) + LATE_S
        for number, outcome in by_number.items()
    }
    pairs = [(step.began_at, number) for step in steps for number in step.numbers if number in by_number]
    return StepFigures(
        taken=len(pairs),
        wasted=sum(began_at > dead_at[number] for began_at, number in pairs),
        unused=_count_unused((number for _, number in pairs), {n: one.rung for n, one in by_number.items()}),
    )


def _count_unused(numbers: Iterable[int], rungs: Mapping[int, str]) -> int:
    return sum(rungs[number] not in MODEL_RUNGS for number in numbers)
