"""The benchmark as a picture: by scenario and group, median milliseconds of each system; lines end at the quartiles."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

PLOT_PACKAGE = "matplotlib"
# Okabe & Ito's palette, which colour-blind readers can tell apart
_COLOURS = {"ours": "#D55E00", "oracle": "#999999", "peer": "#0072B2", "seed": "#E69F00"}
# From the top of a panel
_GROUPS = {"ours": ("ours", "oracle"), "peers": ("peer",), "decoder-only shape": ("seed",)}
_PANELS = {
    "joint_ms": "new document: encode and write, ms",
    "indexed_ms": "known document: write, ms",
    "batch8_ms": "eight new documents at once, ms",
}

Systems = Mapping[str, Mapping[str, Any]]


def save_plot(systems: Systems, path: Path, title: str) -> None:
    """Write the picture as PNG; needs matplotlib, not a display."""
    import_module(PLOT_PACKAGE).use("Agg")
    pyplot: Any = import_module(f"{PLOT_PACKAGE}.pyplot")
    panels = {field: label for field, label in _PANELS.items() if any(field in facts for facts in systems.values())}
    figure, axes = pyplot.subplots(1, len(panels), figsize=(6 * len(panels), 1.8 + 0.3 * len(systems)), squeeze=False)
    for axis, (field, label) in zip(axes[0], panels.items(), strict=True):
        _draw(axis, {name: facts for name, facts in systems.items() if field in facts}, field, label)
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw(axis: Any, systems: Systems, field: str, label: str) -> None:
    place, places, names = 0, list[int](), list[str]()
    for group, roles in _GROUPS.items():
        members = sorted_members(systems, field, roles)
        if not members:
            continue
        axis.annotate(group, (0, place), xycoords=("axes fraction", "data"), fontweight="bold", va="center")
        for name in members:
            place -= 1
            _bar(axis, place, systems[name][field], _COLOURS[systems[name]["role"]])
            places.append(place)
            names.append(name)
        place -= 1
    axis.set_yticks(places, names)
    axis.set_ylim(place + 0.5, 0.7)
    axis.set_xlabel(label)
    _log_scale(axis)
    axis.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _log_scale(axis: Any) -> None:
    """With ticks in plain numbers."""
    ticker: Any = import_module(f"{PLOT_PACKAGE}.ticker")
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(ticker.NullFormatter())


def sorted_members(systems: Systems, field: str, roles: Sequence[str]) -> list[str]:
    """Names of those of these roles, the fastest first."""
    names = [name for name, facts in systems.items() if facts["role"] in roles]
    return sorted(names, key=lambda name: systems[name][field]["median"])


def _bar(axis: Any, place: int, ms: Mapping[str, float], colour: str) -> None:
    error = [[ms["median"] - ms["low"]], [ms["high"] - ms["median"]]]
    axis.barh([place], [ms["median"]], xerr=error, color=colour, error_kw={"elinewidth": 0.8})
    axis.annotate(f" {ms['median']:.0f}", (ms["high"], place), fontsize=8, va="center")
