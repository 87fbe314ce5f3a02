"""A run's settings name what is wrong; the rate rises, stays and falls."""

from pathlib import Path
from typing import Any

import pytest

from qdts.models.interaction import NUM_FEATURES
from qdts.models.training.config import FitConfig, FitTaskConfig, LoopConfig, NetShape


def config(**changes: Any) -> LoopConfig:
    return LoopConfig(out=Path("o"), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1, is 0"),
        ({"num_threads": 0}, "num_threads must be at least 1, is 0"),
        ({"log_every": -1}, "log_every must be at least 1, is -1"),
        ({"prefetch": -1}, "prefetch must be at least 0, is -1"),
        ({"checkpoint_minutes": -1.0}, "checkpoint_minutes must be at least 0, is -1.0"),
        ({"max_minutes": 0.0}, "max_minutes must be above 0, is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, is nan"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0, is 0.0"),
        ({"peak_flops": -1e12}, "peak_flops must be above 0"),
        ({"decay_share": 1.5}, r"decay_share must lie in \[0, 1\], is 1.5"),
        ({"device": "gpu"}, "device must be cpu, cuda or cuda:N, is 'gpu'"),
        ({"device": "cuda:x"}, "device must be cpu, cuda or cuda:N"),
    ],
)
def test_bad_settings_of_the_loop_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
def test_devices_are_known_by_name(device: str) -> None:
    assert config(device=device).device == device


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shares": (1.0, 2.0)}, "one number per data set: 2 for 1"),
        ({"data": (), "shares": ()}, "one number per data set"),
        ({"shares": (-1.0,)}, "shares must be at least 0"),
        ({"tokens_per_batch": -5}, "tokens_per_batch must be at least 1, is -5"),
        ({"indexed_share": -0.1}, r"indexed_share must lie in \[0, 1\], is -0.1"),
        ({"marker_weight": 0.0}, "marker_weight must be above 0, is 0.0"),
        ({"end_weight": -1.0}, "end_weight must be at least 0, is -1.0"),
    ],
)
def test_bad_settings_of_a_task_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitTaskConfig(**({"data": (Path("d"),), "shares": (1.0,)} | changes))


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_has_bounds(dropout: float) -> None:
    task = FitTaskConfig(data=(Path("d"),), shares=(1.0,))
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\), is"):
        FitConfig(model=Path("m"), task=task, loop=config(), dropout=dropout)


def test_the_rate_rises_stays_and_falls() -> None:
    run = config(num_steps=100, warmup_steps=10, decay_share=0.2)
    assert [run.rate_at(step) for step in (0, 4, 9, 50, 80)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert [run.rate_at(step) for step in (90, 99)] == pytest.approx([0.5, 0.05])


def test_the_rate_is_never_nothing_while_there_are_steps() -> None:
    for run in (config(num_steps=1, decay_share=0.0, warmup_steps=0), config(num_steps=7, decay_share=1.0)):
        assert all(0 < run.rate_at(step) <= 1 for step in range(run.num_steps))


def test_features_are_all_there_or_switched_off() -> None:
    assert (NetShape(num_features=0).num_features, NetShape().num_features) == (0, NUM_FEATURES)
    with pytest.raises(ValueError, match=f"num_features must be 0, 10 or {NUM_FEATURES}, is 3"):
        NetShape(num_features=3)
