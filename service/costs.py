"""How long a rung takes for a document of a given size in a batch of a given size: learned online, in milliseconds.

For each rung, size bucket and batch bucket (powers of two) the last times are kept, and the prediction is a high
quantile of them: late answers cost more than early ones gain. A failure to finish in time is learned as "at least so
long". A prediction that keeps a rung from being tried is forgiven a little each time, so that a passing slowness does
not shut a rung for good.

Another model begins with what was predicted for the one before, scaled by what their steps take. That is a floor until
a cell has a few times of its own: a slower model is believed at its first time, a faster one after FEW.
"""

import math
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass

NUM_KEPT = 64
FORGIVENESS = 0.98
# So few times say little of their spread: predictions from them are raised.
FEW, CAUTION = 5, 0.2
# Steps are asked for once, up to batches of so many: a table may outlive the model it is of.
MAX_BATCH_BUCKET = 12

Cell = tuple[int, int]  # buckets of size and batch


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCost:
    """A prediction, for sizes and batches up to these, and from how many times; from none: another model's."""

    rung: Hashable
    size: int
    batch: int
    predicted_ms: float
    num_times: int


class CostTable:
    """Times by rung; one event loop's.

    `step_ms` says what a step takes in a batch of so many: only by how much more than in a smaller one, or than
    another model's, matters.
    """

    def __init__(self, *, quantile: float = 0.9, step_ms: Callable[[int], float] | None = None) -> None:
        self._quantile = quantile
        self._steps = None if step_ms is None else [step_ms(_largest(bucket)) for bucket in range(MAX_BATCH_BUCKET + 1)]
        self._times: dict[Hashable, dict[Cell, deque[float]]] = defaultdict(dict)
        self._priors: dict[Hashable, dict[Cell, float]] = {}

    def heir(self, *, step_ms: Callable[[int], float] | None, shared: Collection[Hashable] = ()) -> "CostTable":
        """The table another model begins with. Rungs that are no model's are `shared`: both learn them, for both."""
        heir = CostTable(quantile=self._quantile, step_ms=step_ms)
        for rung in {*self._times, *self._priors} - {*shared}:
            heir._priors[rung] = {
                cell: _ratio(heir._steps, self._steps, cell[1]) * self._value(rung, cell) for cell in self._cells(rung)
            }
        for rung in shared:
            heir._times[rung] = self._times[rung]
        return heir

    def predict_ms(self, rung: Hashable, size: int, batch: int = 1) -> float | None:
        """A time that few exceed; from the nearest smaller bucket if this one is new, or None."""
        cell = _cell(size, batch)
        nearest = self._nearest(rung, cell)
        if nearest is None:
            return None
        growth = 1.0
        if nearest[1] < cell[1] and self._steps is not None:
            growth = self._steps[cell[1]] / self._steps[nearest[1]]
        return growth * self._value(rung, nearest)

    def known(self) -> list[KnownCost]:
        """All that is predicted, by rung, size and batch."""
        return [
            KnownCost(
                rung=rung,
                size=_largest(cell[0]) - 1,
                batch=_largest(cell[1]),
                predicted_ms=self._value(rung, cell),
                num_times=self._num_times(rung, cell),
            )
            for rung in [*dict.fromkeys([*self._times, *self._priors])]
            for cell in sorted(self._cells(rung))
        ]

    def observe(self, rung: Hashable, size: int, took_ms: float, batch: int = 1) -> None:
        """Learn what a rung took."""
        self._times[rung].setdefault(_cell(size, batch), deque(maxlen=NUM_KEPT)).append(took_ms)

    def observe_at_least(self, rung: Hashable, size: int, took_ms: float, batch: int = 1) -> None:
        """Learn that a rung did not finish within `took_ms`."""
        times = self._times.get(rung, {}).get(_cell(size, batch))
        self.observe(rung, size, max(took_ms, _at(times, self._quantile) if times else 0.0), batch)

    def forgive(self, rung: Hashable, size: int, batch: int = 1) -> None:
        """A rung was not tried because of its prediction: trust the prediction a little less."""
        cell = self._nearest(rung, _cell(size, batch))
        if cell is None:
            return
        times, priors = self._times.get(rung, {}), self._priors.get(rung, {})
        if cell in times:
            times[cell] = deque((FORGIVENESS * time for time in times[cell]), maxlen=NUM_KEPT)
        if cell in priors:
            priors[cell] *= FORGIVENESS

    def _cells(self, rung: Hashable) -> set[Cell]:
        return {*self._times.get(rung, {}), *self._priors.get(rung, {})}

    def _nearest(self, rung: Hashable, cell: Cell) -> Cell | None:
        """The cell itself, or the largest one known that is not of a larger size, in the nearest batch."""
        if cell in self._times.get(rung, {}) or cell in self._priors.get(rung, {}):
            return cell
        size, batch = cell
        smaller = (each for each in self._cells(rung) if each[0] <= size)
        return max(smaller, key=lambda each: (each[0], -abs(each[1] - batch), each[1]), default=None)

    def _num_times(self, rung: Hashable, cell: Cell) -> int:
        return len(self._times.get(rung, {}).get(cell, ()))

    def _value(self, rung: Hashable, cell: Cell) -> float:
        """What is predicted in a cell that is known."""
        times, prior = self._times.get(rung, {}).get(cell), self._priors.get(rung, {}).get(cell)
        own = None if not times else _at(times, self._quantile) * (1 + CAUTION if len(times) < FEW else 1)
        if own is None or prior is None:
            return own or prior or 0.0
        return own if self._num_times(rung, cell) >= FEW else max(own, prior)


def _ratio(ours: list[float] | None, theirs: list[float] | None, bucket: int) -> float:
    """How much longer our steps are than theirs; 1 where either is not known."""
    if ours is None or theirs is None or not theirs[bucket]:
        return 1.0
    return ours[bucket] / theirs[bucket]


def _cell(size: int, batch: int) -> Cell:
    return size.bit_length(), max(0, batch - 1).bit_length()


def _largest(bucket: int) -> int:
    return 1 << bucket


def _at(times: deque[float], quantile: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, math.floor(quantile * len(ordered)))]
