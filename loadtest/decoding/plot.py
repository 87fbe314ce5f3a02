"""The results as a picture: per runtime milliseconds by batch size and drafter, and gated over plain."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from qdts.loadtest.decoding.drafters import GATED, PLAIN

PLOT_PACKAGE = "matplotlib"
# Okabe & Ito's palette, which colour-blind readers can tell apart
_COLOURS = {
    PLAIN: "#999999",
    GATED: "#D55E00",
    "pieces": "#E69F00",
    "copy": "#0072B2",
    "trie": "#009E73",
    "jacobi": "#CC79A7",
    "combined": "#56B4E9",
}
_BAR = 1.03  # never slower by more than this


def save_plot(runtimes: Mapping[str, Mapping[str, Any]], path: Path, title: str) -> None:
    """Write the picture as PNG; needs matplotlib, not a display."""
    measured = {label: found["batches"] for label, found in runtimes.items() if "batches" in found}
    import_module(PLOT_PACKAGE).use("Agg")
    pyplot: Any = import_module(f"{PLOT_PACKAGE}.pyplot")
    figure, axes = pyplot.subplots(2, len(measured), figsize=(4.6 * len(measured), 7), squeeze=False)
    for column, (label, batches) in enumerate(measured.items()):
        _draw_ms(axes[0, column], label, batches)
        _draw_ratio(axes[1, column], batches)
    axes[0, 0].set_ylabel("decode phase, ms per request")
    axes[1, 0].set_ylabel("gated / plain, ms (median, quartiles)")
    axes[0, -1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_ms(axis: Any, label: str, batches: Mapping[str, Any]) -> None:
    for name, colour in _COLOURS.items():
        found = {size: batch["drafters"][name] for size, batch in batches.items() if name in batch["drafters"]}
        values = [drafter["ms_per_request"] for drafter in found.values()]
        axis.plot(list(found), values, marker="o", markersize=4, color=colour, label=name)
    axis.set_yscale("log")
    _finish(axis, label)


def _draw_ratio(axis: Any, batches: Mapping[str, Any]) -> None:
    ratios = [batch["gated_vs_plain"] for batch in batches.values()]
    medians = [ratio["median"] for ratio in ratios]
    spread = [
        [ratio["median"] - ratio["low"] for ratio in ratios],
        [ratio["high"] - ratio["median"] for ratio in ratios],
    ]
    axis.errorbar(list(batches), medians, yerr=spread, marker="o", capsize=3, color=_COLOURS[GATED])
    axis.axhline(_BAR, color="#888888", linewidth=0.8, linestyle=":")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("batch size")
    _finish(axis, "")


def _finish(axis: Any, title: str) -> None:
    axis.set_title(title)
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
