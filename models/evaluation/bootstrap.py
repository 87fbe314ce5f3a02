"""How sure a mean is: percentile bootstrap, seeded. Numbers only, knows nothing of summaries.

Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_RESAMPLES = 1000
_PERCENTILES = (2.5, 97.5)  # 95 %
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A mean with its 95 % interval over `count` rows."""

    mean: float
    low: float
    high: float
    count: int


def mean_score(values: Sequence[float], seed: int) -> Score:
    """The mean of `values` with its interval; at least one value."""
    return macro_score([values], seed)


def macro_score(groups: Sequence[Sequence[float]], seed: int) -> Score:
    """The mean of the groups' means; rows are drawn again within each group."""
    if not groups or any(len(group) == 0 for group in groups):
        raise ValueError("a score needs at least one value in every group")
    rng = np.random.default_rng(seed)
    resampled = np.mean([_resampled_means(group, rng) for group in groups], axis=0)
    low, high = np.percentile(resampled, _PERCENTILES)
    return Score(
        mean=float(np.mean([np.mean(group) for group in groups])),
        low=float(low),
        high=float(high),
        count=sum(len(group) for group in groups),
    )


def _resampled_means(values: Sequence[float], rng: np.random.Generator) -> Values:
    numbers = np.asarray(values, np.float64)
    draws = rng.integers(0, len(numbers), (NUM_RESAMPLES, len(numbers)))
    return numbers[draws].mean(axis=1)
