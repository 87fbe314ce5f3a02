"""What a decoder step costs on this machine: measured milliseconds by batch size and width.

Shapes: B batch · T tokens of a step, per sequence.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WIDTHS = (1, 8, 24, 64)


def batch_sizes_up_to(limit: int) -> tuple[int, ...]:
    """Powers of two, and `limit`: what is worth measuring where no batch is larger. Two sizes at least."""
    sizes = {1, 2, limit} | {1 << power for power in range(limit.bit_length())}
    return tuple(sorted(size for size in sizes if 1 <= size <= max(2, limit)))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCosts:
    """`ms[i][j]`: a step of batch_sizes[i] sequences and widths[j] tokens each; both ascending, two or more."""

    batch_sizes: tuple[int, ...]
    widths: tuple[int, ...]
    ms: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        for name in ("batch_sizes", "widths"):
            values = getattr(self, name)
            if len(values) < 2 or list(values) != sorted(set(values)) or values[0] < 1:
                raise ValueError(f"{name} must be two or more, ascending, at least 1; are {values}")
        if [len(row) for row in self.ms] != [len(self.widths)] * len(self.batch_sizes):
            raise ValueError("ms must hold a row per batch size and in it a number per width")

    def step_ms(self, batch_size: int, width: int) -> float:
        """Between the measured ones linear in both; beyond the largest, as between the last two; never below 0."""
        row, column = _left(batch_size, self.batch_sizes), _left(width, self.widths)
        by_batch = [_between(width, self.widths, ms, column) for ms in self.ms[row : row + 2]]
        return _between(batch_size, self.batch_sizes[row : row + 2], by_batch, 0)


def _left(at: int, places: Sequence[int]) -> int:
    """Which two places, this one and the next, a point is judged by."""
    return min(max(bisect_right(places, at) - 1, 0), len(places) - 2)


def _between(at: int, places: Sequence[int], values: Sequence[float], left: int) -> float:
    slope = (values[left + 1] - values[left]) / (places[left + 1] - places[left])
    return max(0.0, values[left] + slope * (at - places[left]))


def without_noise(ms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Milliseconds by batch size and width: no more than where either is larger, since that was done in less."""
    largest_first = np.minimum.accumulate(np.minimum.accumulate(ms[::-1, ::-1], axis=0), axis=1)
    return largest_first[::-1, ::-1]
