"""Rows are means, whether or not a checkpoint fell between; a resumed log has no row twice."""

from pathlib import Path

import pytest
import torch

from qdts.models.training.meter import Meter, append_row, cut_rows, read_rows


def add_steps(meter: Meter, steps: range) -> None:
    for step in steps:
        values = {"loss": torch.tensor(step / 3), "rate": step / 7, "rare": float("nan") if step % 2 else 2.0}
        meter.add(values, tokens=step, flops=1.0)


def test_an_interval_cut_by_a_checkpoint_has_the_same_means() -> None:
    straight, first, second = Meter(), Meter(), Meter()
    add_steps(straight, range(10))
    add_steps(first, range(4))
    second.load_state_dict(first.state_dict())
    add_steps(second, range(4, 10))
    rows = [straight.flush(), second.flush()]
    for name in ("loss", "rate", "rare", "tokens"):
        assert rows[0][name] == rows[1][name]
    assert rows[0]["rare"] == 2.0 and rows[0]["tokens"] == 45


def test_a_new_interval_begins_empty_and_the_run_goes_on() -> None:
    meter = Meter()
    add_steps(meter, range(3))
    meter.flush()
    meter.add({"loss": 5.0}, tokens=7, flops=0.0)
    row = meter.flush()
    assert (row["loss"], row["tokens"]) == (5.0, 10)
    assert "rare" not in row and "mfu" not in row


def test_rows_after_a_checkpoint_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    cut_rows(path, 5)
    assert not path.exists() and read_rows(path) == []
    for step in range(1, 8):
        append_row(path, {"step": step, "loss": 1.5})
    cut_rows(path, 5)
    append_row(path, {"step": 6, "loss": 0.5})
    assert [row["step"] for row in read_rows(path)] == [1, 2, 3, 4, 5, 6]
    assert read_rows(path)[-1]["loss"] == pytest.approx(0.5)
