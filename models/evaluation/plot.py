"""A report as one picture: bars per set and system for ROUGE-L and answer containment."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from textwrap import fill
from typing import Any, cast

from qdts.models.evaluation import metrics
from qdts.models.evaluation.bootstrap import Score
from qdts.models.evaluation.report import Report, SystemReport

PLOT_PACKAGE = "matplotlib"

_PANELS = {metrics.ROUGE_L: "ROUGE-L (F1, %)", metrics.ANSWER_CONTAINED: "Answer contained (% of rows)"}
# Okabe & Ito's palette, which colour-blind readers can tell apart; greys for the lead.
_JUDGED = ("#D55E00", "#E69F00", "#CC79A7", "#F0E442")
_KNOWN = {
    "lead_1": "#D9D9D9",
    "lead_2": "#BDBDBD",
    "bm25_1": "#56B4E9",
    "bm25_2": "#0072B2",
    "minilm_1": "#009E73",
    "rung_extractive": "#6F42C1",
    "rung_lead": "#969696",
}
_ORACLE = "oracle_1"
_OVERALL = "mean of sets"
_GROUP_WIDTH = 0.84
_LEGEND_ENTRY_INCHES = 1.7
_LABEL_CHARS = 14


def save_plot(report: Report, path: Path) -> None:
    """Write the picture as PNG; needs matplotlib, not a display."""
    pyplot = _load_pyplot()
    panels = [name for name in _PANELS if any(name in system.macro for system in report.systems)]
    width = max(9.0, 2.0 + 0.16 * len(report.systems) * (len(report.num_rows) + 1))
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(width, 4.2 * len(panels)), squeeze=False)
    for name, axis in zip(panels, axes[:, 0], strict=True):
        _draw_panel(axis, report, name)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    columns = min(len(labels), int(width / _LEGEND_ENTRY_INCHES))
    figure.legend(handles, labels, loc="upper center", ncols=columns, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.95 if columns == len(labels) else 0.92))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _load_pyplot() -> Any:
    cast(Any, import_module(PLOT_PACKAGE)).use("Agg")
    return import_module(f"{PLOT_PACKAGE}.pyplot")


def _draw_panel(axis: Any, report: Report, name: str) -> None:
    sets = [s for s in report.num_rows if any(name in system.by_set.get(s, {}) for system in report.systems)]
    colours = _colours(report.systems)
    for place, system in enumerate(report.systems):
        scores = [system.macro.get(name), *(system.by_set.get(s, {}).get(name) for s in sets)]
        _draw_bars(axis, scores, _Bars(system.name, place, len(report.systems), colours[system.name]))
    axis.axvline(0.5, color="#888888", linewidth=0.8, linestyle=":")
    labels = [f"{fill(s.replace('_', ' '), _LABEL_CHARS)}\n(n={_count(report, name, s)})" for s in sets]
    axis.set_xticks(range(len(sets) + 1), [_OVERALL, *labels], fontsize=9)
    axis.set_xlim(-0.5, len(sets) + 0.5)
    axis.set_ylabel(_PANELS[name])
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


class _Bars:
    """Where and how one system's bars stand: `place` of `count` in each group."""

    def __init__(self, label: str, place: int, count: int, colour: str) -> None:
        self.label = label
        self.colour = colour
        self.width = _GROUP_WIDTH / count
        self.offset = (place - (count - 1) / 2) * self.width


def _draw_bars(axis: Any, scores: Sequence[Score | None], bars: _Bars) -> None:
    drawn = [(group, score) for group, score in enumerate(scores) if score is not None]
    heights = [100 * score.mean for _, score in drawn]
    lows = [max(0.0, 100 * (score.mean - score.low)) for _, score in drawn]
    highs = [max(0.0, 100 * (score.high - score.mean)) for _, score in drawn]
    is_oracle = bars.label == _ORACLE
    axis.bar(
        [group + bars.offset for group, _ in drawn],
        heights,
        bars.width * 0.92,
        label="oracle_1 (ceiling)" if is_oracle else bars.label,
        color="white" if is_oracle else bars.colour,
        edgecolor="#444444" if is_oracle else bars.colour,
        hatch="////" if is_oracle else None,
        linewidth=0.6,
        yerr=[lows, highs],
        error_kw={"elinewidth": 0.7, "ecolor": "#333333"},
    )


def _colours(systems: Sequence[SystemReport]) -> dict[str, str]:
    judged = [s.name for s in systems if s.name not in _KNOWN and s.name != _ORACLE]
    return _KNOWN | {_ORACLE: "white"} | {name: _JUDGED[i % len(_JUDGED)] for i, name in enumerate(judged)}


def _count(report: Report, name: str, set_name: str) -> int:
    scores = (system.by_set.get(set_name, {}).get(name) for system in report.systems)
    return max(score.count for score in scores if score is not None)
