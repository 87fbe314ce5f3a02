"""How long a rung takes for a document of a given size in a batch of a given size: learned online, in milliseconds.

For each rung, size bucket and batch bucket (powers of two) the last times are kept, and the prediction is a high
quantile of them: late answers cost more than early ones gain. A failure to finish in time is learned as "at least so
long". A prediction that keeps a rung from being tried is forgiven a little each time, so that a passing slowness does
not shut a rung for good.
"""

import math
from collections import defaultdict, deque
from collections.abc import Callable, Hashable

NUM_KEPT = 64
FORGIVENESS = 0.98
# So few times say little of their spread: predictions from them are raised.
FEW, CAUTION = 5, 0.2

Cell = tuple[int, int]  # buckets of size and batch


class CostTable:
    """Times by rung; one event loop's.

    `step_ms` says what a step takes in a batch of so many: only by how much more than in a smaller one matters.
    """

    def __init__(self, *, quantile: float = 0.9, step_ms: Callable[[int], float] = lambda batch: 1.0) -> None:
        self._quantile = quantile
        self._step_ms = step_ms
        self._times: dict[Hashable, dict[Cell, deque[float]]] = defaultdict(dict)

    def predict_ms(self, rung: Hashable, size: int, batch: int = 1) -> float | None:
        """A time that few exceed; from the nearest smaller bucket if this one is new, or None."""
        times = self._times.get(rung, {})
        cell = _cell(size, batch)
        nearest = self._nearest(rung, cell)
        if nearest is None:
            return None
        growth = 1.0
        if nearest[1] < cell[1]:
            growth = self._step_ms(_largest(cell[1])) / self._step_ms(_largest(nearest[1]))
        return growth * self._cautious(times[nearest])

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
        if cell is not None:
            times = self._times[rung][cell]
            self._times[rung][cell] = deque((FORGIVENESS * time for time in times), maxlen=NUM_KEPT)

    def _nearest(self, rung: Hashable, cell: Cell) -> Cell | None:
        """The cell itself, or the largest one known that is not of a larger size, in the nearest batch."""
        known = self._times.get(rung, {})
        if cell in known:
            return cell
        size, batch = cell
        smaller = (each for each in known if each[0] <= size)
        return max(smaller, key=lambda each: (each[0], -abs(each[1] - batch), each[1]), default=None)

    def _cautious(self, times: deque[float]) -> float:
        return _at(times, self._quantile) * (1 + CAUTION if len(times) < FEW else 1)


def _cell(size: int, batch: int) -> Cell:
    return size.bit_length(), max(0, batch - 1).bit_length()


def _largest(batch_bucket: int) -> int:
    return 1 << batch_bucket


def _at(times: deque[float], quantile: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, math.floor(quantile * len(ordered)))]
