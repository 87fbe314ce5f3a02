"""The benchmark as a picture: median milliseconds of each system, bars from the first to the third quartile."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

PLOT_PACKAGE = "matplotlib"
# Okabe & Ito's palette, which colour-blind readers can tell apart
_COLOURS = {"ours": "#D55E00", "peer": "#0072B2", "seed": "#E69F00", "oracle": "#999999", "product": "#CC79A7"}
_PANELS = {"joint_ms": "new document: encode and write, ms", "indexed_ms": "known document: write, ms"}


def save_plot(systems: Mapping[str, Mapping[str, Any]], path: Path, title: str) -> None:
    """Write the picture as PNG; needs matplotlib, not a display."""
    import_module(PLOT_PACKAGE).use("Agg")
    pyplot: Any = import_module(f"{PLOT_PACKAGE}.pyplot")
    figure, axes = pyplot.subplots(1, len(_PANELS), figsize=(13, 1.5 + 0.32 * len(systems)), squeeze=False)
    for axis, (field, label) in zip(axes[0], _PANELS.items(), strict=True):
        _draw(axis, {name: facts for name, facts in systems.items() if field in facts}, field, label)
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw(axis: Any, systems: Mapping[str, Mapping[str, Any]], field: str, label: str) -> None:
    ordered = sorted(systems, key=lambda name: -systems[name][field]["median"])
    medians = [systems[name][field]["median"] for name in ordered]
    below = [systems[name][field]["median"] - systems[name][field]["low"] for name in ordered]
    above = [systems[name][field]["high"] - systems[name][field]["median"] for name in ordered]
    colours = [_COLOURS[systems[name]["role"]] for name in ordered]
    axis.barh(ordered, medians, xerr=[below, above], color=colours, error_kw={"elinewidth": 0.8})
    axis.set_xlabel(label)
    axis.set_xscale("log")
    axis.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
