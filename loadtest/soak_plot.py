"""A soak as a picture: memory, tasks, files and places of the server's process over time."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from qdts.loadtest.simulation.server import Status
from qdts.service.bench.report import PLOT_PACKAGE

# Okabe & Ito's palette, which colour-blind readers can tell apart
_BLUE, _RED, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"

Samples = Sequence[tuple[float, Status]]


def save_plot(before: Status, samples: Samples, file: Path) -> None:
    """As PNG; needs matplotlib, not a display. The dashed lines are what there was before the load."""
    import_module(PLOT_PACKAGE).use("Agg")
    pyplot: Any = import_module(f"{PLOT_PACKAGE}.pyplot")
    minutes = [(at - samples[0][0]) / 60 for at, _ in samples]
    figure, (memory, counts) = pyplot.subplots(2, 1, figsize=(9, 7), sharex=True)
    _draw(memory, minutes, [one.resident_mb for _, one in samples], before.resident_mb, ("resident MB", _BLUE))
    _draw(counts, minutes, [one.num_tasks for _, one in samples], before.num_tasks, ("tasks", _RED))
    _draw(counts, minutes, [one.num_files for _, one in samples], before.num_files, ("open files", _GREEN))
    _draw(counts, minutes, [one.num_open for _, one in samples], before.num_open, ("places in the engine", _PURPLE))
    counts.set_xlabel("minutes")
    counts.set_ylim(bottom=0)
    for axis in (memory, counts):
        axis.grid(color="#DDDDDD", linewidth=0.6)
        axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _draw(axis: Any, minutes: Sequence[float], values: Sequence[float], before: float, style: tuple[str, str]) -> None:
    label, colour = style
    axis.plot(minutes, values, color=colour, linewidth=1.2, label=label)
    axis.axhline(before, color=colour, linewidth=0.8, linestyle="--")
