"""Intervals: repeatable, around the mean, as wide as theory says."""

import math

import numpy as np
import pytest

from qdts.models.evaluation.bootstrap import macro_score, mean_score


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [0.0, 1.0, 0.5, 0.25, 0.75]
    assert mean_score(values, seed=3) == mean_score(values, seed=3)
    assert mean_score(values, seed=3) != mean_score(values, seed=4)


def test_the_interval_is_as_wide_as_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(size=400).tolist()
    score = mean_score(values, seed=0)
    expected = 2 * 1.96 * float(np.std(values)) / math.sqrt(400)
    assert score.low < score.mean < score.high
    assert score.high - score.low == pytest.approx(expected, rel=0.1)


def test_every_set_weighs_the_same() -> None:
    score = macro_score([[1.0] * 99, [0.0]], seed=0)
    assert (score.mean, score.low, score.high, score.count) == (0.5, 0.5, 0.5, 100)


@pytest.mark.parametrize("groups", [[], [[1.0], []]])
def test_no_values_are_refused(groups: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one value"):
        macro_score(groups, seed=0)
