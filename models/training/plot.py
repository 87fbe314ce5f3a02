"""The curves of a run as a picture: whatever numbers its task reports."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qdts.models.training.meter import read_rows

_SMOOTHING = 0.9
# Columns of the loop's own that say nothing about what is learned.
_NOT_DRAWN = frozenset({"step", "rate", "tokens", "tokens_per_s", "mfu", "minutes"})

Curve = tuple[list[float], list[float]]


def plot_metrics(metrics: Path, target: Path) -> None:
    """Draw metrics.jsonl as PNG, smoothed: losses, shares (accuracies), and the rest, each on an axis of its own.

    Without a row there is nothing to draw, and nothing is written.
    """
    panels = make_panels(read_rows(metrics))
    if not panels:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pyplot: Any = plt
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.5 * len(panels), 4), squeeze=False)
    for axis, (title, curves) in zip(axes[0], panels.items(), strict=True):
        for name, (steps, values) in curves.items():
            axis.plot(steps, smooth(values), label=name.replace("_", " "))
        axis.set_title(f"{title}, smoothed")
        axis.set_xlabel("step")
        axis.legend()
    figure.tight_layout()
    figure.savefig(target, dpi=120)
    pyplot.close(figure)


def make_panels(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Curve]]:
    """Curves by panel: `losses` are named so, `shares` stay in [0, 1], `other` is the rest; none is empty."""
    panels: dict[str, dict[str, Curve]] = {"losses": {}, "shares": {}, "other": {}}
    for name in dict.fromkeys(name for row in rows for name in row if name not in _NOT_DRAWN):
        points = [(row["step"], row[name]) for row in rows if name in row]
        steps, values = [step for step, _ in points], [value for _, value in points]
        is_share = all(0 <= value <= 1 for value in values)
        panel = "losses" if "loss" in name else "shares" if is_share else "other"
        panels[panel][name] = (steps, values)
    return {title: curves for title, curves in panels.items() if curves}


def smooth(values: Sequence[float]) -> list[float]:
    """Exponential moving average."""
    smoothed: list[float] = []
    for value in values:
        smoothed.append(_SMOOTHING * smoothed[-1] + (1 - _SMOOTHING) * value if smoothed else value)
    return smoothed
