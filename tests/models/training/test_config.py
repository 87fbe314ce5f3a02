"""A run's settings name what is wrong; the rate rises, stays and falls."""

from pathlib import Path
from typing import Any

import pytest

from qdts.models.training.config import TrainConfig


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**({"model": Path("m"), "data": (Path("d"),), "shares": (1.0,), "out": Path("o")} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shares": (1.0, 2.0)}, "one number per data set: 2 for 1"),
        ({"data": (), "shares": ()}, "one number per data set"),
        ({"num_steps": 0}, "num_steps must be at least 1, is 0"),
        ({"tokens_per_batch": -5}, "tokens_per_batch must be at least 1, is -5"),
        ({"dropout": 1.5}, r"dropout must lie in \[0, 1\], is 1.5"),
        ({"indexed_share": -0.1}, r"indexed_share must lie in \[0, 1\], is -0.1"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_the_rate_rises_stays_and_falls() -> None:
    run = config(num_steps=100, warmup_steps=10, decay_share=0.2)
    assert [run.rate_at(step) for step in (0, 4, 9, 50, 80)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert [run.rate_at(step) for step in (90, 99)] == pytest.approx([0.5, 0.05])


def test_the_rate_is_never_nothing_while_there_are_steps() -> None:
    for run in (config(num_steps=1, decay_share=0.0, warmup_steps=0), config(num_steps=7, decay_share=1.0)):
        assert all(0 < run.rate_at(step) <= 1 for step in range(run.num_steps))
