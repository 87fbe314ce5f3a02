"""Whatever a task reports is drawn, on the axis where it can be read."""

import json
from pathlib import Path

from qdts.models.training.plot import make_panels, plot_metrics, smooth

ROWS = [
    {"step": 1, "loss": 3.0, "kl": 2.0, "win_rate": 0.5, "tokens_per_s": 9.0, "rate": 0.1},
    {"step": 2, "loss": 0.5, "kl": 0.1, "win_rate": 0.7, "spans_loss": 0.2, "tokens_per_s": 9.0, "mfu": 0.4},
]


def test_columns_find_their_axis() -> None:
    panels = make_panels(ROWS)
    assert {title: list(curves) for title, curves in panels.items()} == {
        "losses": ["loss", "spans_loss"],
        "shares": ["win_rate"],
        "other": ["kl"],
    }
    assert panels["losses"]["loss"] == ([1, 2], [3.0, 0.5])
    assert panels["losses"]["spans_loss"] == ([2], [0.2]), "a column may begin late"
    assert list(make_panels([{"step": 1, "loss": 1.0}])) == ["losses"], "no axis without a curve"


def test_a_run_without_rows_has_no_picture(tmp_path: Path) -> None:
    plot_metrics(tmp_path / "metrics.jsonl", tmp_path / "loss.png")
    (tmp_path / "metrics.jsonl").write_text("")
    plot_metrics(tmp_path / "metrics.jsonl", tmp_path / "loss.png")
    assert not (tmp_path / "loss.png").exists()


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    plot_metrics(tmp_path / "metrics.jsonl", tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_smoothing_keeps_what_does_not_change() -> None:
    assert smooth([2.0, 2.0, 2.0]) == [2.0, 2.0, 2.0]
    assert smooth([0.0, 1.0]) == [0.0, 0.09999999999999998]
