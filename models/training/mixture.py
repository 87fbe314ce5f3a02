"""Several tasks as one: each step is of one of them, in fixed shares. Knows nothing of what they learn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

from torch import nn

from qdts.models.training.task import Outcome, Task, batches_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A task, how its columns in the log begin, and its weight beside the others."""

    name: str
    task: Task
    share: float


class Mixture:
    """Takes turns without chance: the part that is furthest behind its share is next, the first of equals."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = [part for part in parts if part.share > 0]
        if not self._parts:
            raise ValueError(f"shares must not all be 0: {', '.join(part.name for part in parts)}")

    def batches(self) -> Iterator[tuple[int, Any]]:
        """Which part a batch is of, and the batch: a function of the parts alone."""
        return self.batches_from(0)

    def batches_from(self, step: int) -> Iterator[tuple[int, Any]]:
        """The stream without its first `step` batches."""
        skipped = [0] * len(self._parts)
        for which in islice(self._turns(), step):
            skipped[which] += 1
        streams = [batches_from(part.task, first) for part, first in zip(self._parts, skipped, strict=True)]
        for which in islice(self._turns(), step, None):
            yield which, next(streams[which])

    def _turns(self) -> Iterator[int]:
        total = sum(part.share for part in self._parts)
        shares = [part.share / total for part in self._parts]
        taken = [0] * len(shares)
        for step in count(1):
            behind = [share * step - number for share, number in zip(shares, taken, strict=True)]
            which = behind.index(max(behind))
            taken[which] += 1
            yield which

    def loss(self, net: nn.Module, batch: tuple[int, Any]) -> Outcome:
        """The part's, its report under the part's name."""
        which, rows = batch
        part = self._parts[which]
        outcome = part.task.loss(net, rows)
        return replace(outcome, report={f"{part.name}_{name}": value for name, value in outcome.report.items()})
