"""The loss curve of a run as a picture."""

import json
from pathlib import Path
from typing import Any

_SMOOTHING = 0.9


def plot_losses(metrics: Path, target: Path) -> None:
    """Draw metrics.jsonl as PNG: the losses and how often the right sentence was chosen, smoothed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows: list[dict[str, float]] = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    if not rows:
        return
    pyplot: Any = plt
    figure, (losses, accuracies) = pyplot.subplots(1, 2, figsize=(11, 4))
    steps = [row["step"] for row in rows]
    for axis, names in ((losses, ("marker_loss", "copied_loss")), (accuracies, ("marker_accuracy", "copied_accuracy"))):
        for name in names:
            axis.plot(steps, smooth([row[name] for row in rows]), label=name.replace("_", " "))
        axis.set_xlabel("step")
        axis.legend()
    losses.set_title("loss per token, smoothed")
    accuracies.set_title("accuracy, smoothed")
    figure.tight_layout()
    figure.savefig(target, dpi=120)
    pyplot.close(figure)


def smooth(values: list[float]) -> list[float]:
    """Exponential moving average."""
    smoothed: list[float] = []
    for value in values:
        smoothed.append(_SMOOTHING * smoothed[-1] + (1 - _SMOOTHING) * value if smoothed else value)
    return smoothed
