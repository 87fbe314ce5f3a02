"""The picture holds what was measured, and nothing where nothing was."""

from pathlib import Path
from typing import Any

import pytest

from qdts.loadtest.peers.plot import save_plot, sorted_members

# matplotlib's own imports warn of what will change in Python
pytestmark = pytest.mark.filterwarnings("default")


def facts(role: str, **medians: float) -> dict[str, Any]:
    return {"role": role} | {
        f"{field}_ms": {"low": ms * 0.9, "median": ms, "high": ms * 1.2} for field, ms in medians.items()
    }


SYSTEMS = {
    "ours_int8": facts("ours", joint=40, indexed=10, batch8=300),
    "ours_fp32": facts("ours", joint=85, indexed=28, batch8=680),
    "eager_fp32": facts("oracle", joint=150, indexed=70, batch8=900),
    "ctranslate2_int8": facts("peer", joint=90, batch8=700),
    "openvino_int8": facts("peer", joint=70, indexed=30, batch8=500),
    "seed_onnxruntime_int8": facts("seed", joint=400),
}


def test_a_group_begins_with_its_fastest() -> None:
    assert sorted_members(SYSTEMS, "joint_ms", ("peer",)) == ["openvino_int8", "ctranslate2_int8"]
    assert sorted_members(SYSTEMS, "joint_ms", ("ours", "oracle")) == ["ours_int8", "ours_fp32", "eager_fp32"]


def test_a_picture_is_written_with_a_panel_for_each_scenario_that_was_asked(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    save_plot(SYSTEMS, tmp_path / "three.png", "a title")
    without_batches = {name: {k: v for k, v in one.items() if k != "batch8_ms"} for name, one in SYSTEMS.items()}
    save_plot(without_batches, tmp_path / "two.png", "a title")
    three, two = (image.imread(tmp_path / name).shape[1] for name in ("three.png", "two.png"))
    assert three == pytest.approx(1.5 * two, rel=0.01)
