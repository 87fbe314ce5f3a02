"""All trials as one table and one picture: means over seeds, and the gain over the base net row by row.

The gain's interval is that of the rows (bootstrap within sets, values averaged over seeds before); how far seeds lie
apart stands beside each mean. Knows results as trial.py writes them, nothing of how they were made.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdts.loadtest.ablation.trial import FIRST_SENTENCE, measures_by_row
from qdts.loadtest.ablation.variants import BASE
from qdts.models.evaluation.bootstrap import Score, macro_score
from qdts.models.evaluation.metrics import ANSWER_CONTAINED, ROUGE_L, WORDS
from qdts.models.prompt import Mode

SHOWN = (FIRST_SENTENCE, ROUGE_L, ANSWER_CONTAINED)
Result = dict[str, Any]
RowMeans = dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One variant in one mode. `means` and half the distance of the `spread` between seeds, by measure (shares)."""

    variant: str
    mode: Mode
    seeds: tuple[int, ...]
    parameters: int
    inner_parameters: int
    means: dict[str, float]
    spread: dict[str, float]
    gain: dict[str, Score]
    cost: dict[str, float]
    marker_accuracy: float
    # Of the trials that ran in one go; None if none did.
    tokens_per_cpu_s: float | None


def table_lines(results: Sequence[Result]) -> list[Line]:
    """A line for each variant and mode that has results, in the order they came."""
    grouped: dict[tuple[str, Mode], list[Result]] = {}
    for result in results:
        for mode in result["modes"]:
            grouped.setdefault((result["variant"]["name"], mode), []).append(result)
    return [_line(*key, trials, grouped.get((BASE, key[1]), [])) for key, trials in grouped.items()]


def _line(variant: str, mode: Mode, trials: Sequence[Result], base: Sequence[Result]) -> Line:
    names = (*SHOWN, WORDS)
    by_seed = {name: [_macro_mean(_row_means([trial], mode, name)) for trial in trials] for name in names}
    costs = [trial["modes"][mode]["cost"] for trial in trials]
    speeds = [trial["training"]["tokens_per_cpu_s"] for trial in trials if trial["training"]["tokens_per_cpu_s"]]
    return Line(
        variant=variant,
        mode=mode,
        seeds=tuple(trial["seed"] for trial in trials),
        parameters=trials[0]["parameters"],
        inner_parameters=trials[0]["inner_parameters"],
        means={name: statistics.fmean(values) for name, values in by_seed.items()},
        spread={name: (max(values) - min(values)) / 2 for name, values in by_seed.items()},
        gain={} if variant == BASE or not base else {name: _gain(trials, base, mode, name) for name in SHOWN},
        cost={name: statistics.fmean(cost[name] for cost in costs) for name in costs[0]},
        marker_accuracy=statistics.fmean(trial["training"]["marker_accuracy"] for trial in trials),
        tokens_per_cpu_s=statistics.fmean(speeds) if speeds else None,
    )


def _row_means(trials: Iterable[Result], mode: Mode, name: str) -> RowMeans:
    """The measure of each row that has it, averaged over trials."""
    values: dict[tuple[str, str], list[float]] = {}
    for trial in trials:
        for row, measures in measures_by_row(trial, mode).items():
            if name in measures:
                values.setdefault(row, []).append(measures[name])
    return {row: statistics.fmean(of_row) for row, of_row in values.items()}


def _by_set(means: RowMeans) -> list[list[float]]:
    sets: dict[str, list[float]] = {}
    for (name, _), value in means.items():
        sets.setdefault(name, []).append(value)
    return list(sets.values())


def _macro_mean(means: RowMeans) -> float:
    """The mean of the sets' means."""
    return statistics.fmean(statistics.fmean(values) for values in _by_set(means))


def _gain(trials: Sequence[Result], base: Sequence[Result], mode: Mode, name: str) -> Score:
    """The mean difference from the base net, with its 95 % interval."""
    ours, theirs = _row_means(trials, mode, name), _row_means(base, mode, name)
    return macro_score(_by_set({row: ours[row] - theirs[row] for row in ours if row in theirs}), seed=0)


def to_markdown(lines: Sequence[Line]) -> str:
    """The table in Markdown, shares in per cent."""
    header = (
        ("variant", "mode", "seeds", "parameters, M", "of them inside, M")
        + ("first sentence, %", "ROUGE-L", "answer in it, %", "words")
        + ("gain in ROUGE-L [95 %]", "gain in first sentence [95 %]")
        + ("decoder steps", "MFLOP a request", "MB moved", "train tokens per CPU s")
    )
    rows = [header, ("---", "---", *("---:" for _ in header[2:])), *(_cells(line) for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _cells(line: Line) -> tuple[str, ...]:
    moved = line.cost["weight_bytes"] + line.cost["state_bytes"]
    return (
        line.variant,
        line.mode,
        str(len(line.seeds)),
        f"{line.parameters / 1e6:.2f}",
        f"{line.inner_parameters / 1e6:.2f}",
        *(f"{100 * line.means[name]:.1f} ± {100 * line.spread[name]:.1f}" for name in SHOWN),
        f"{line.means[WORDS]:.1f}",
        _gain_cell(line.gain.get(ROUGE_L)),
        _gain_cell(line.gain.get(FIRST_SENTENCE)),
        f"{line.cost['steps']:.2f}",
        f"{line.cost['flops'] / 1e6:.0f}",
        f"{moved / 1e6:.1f}",
        "-" if line.tokens_per_cpu_s is None else f"{line.tokens_per_cpu_s:.0f}",
    )


def _gain_cell(score: Score | None) -> str:
    if score is None:
        return "-"
    return f"{100 * score.mean:+.1f} [{100 * score.low:+.1f}, {100 * score.high:+.1f}]"


def save_plot(lines: Sequence[Line], path: Path) -> None:
    """Measures per variant, one colour per mode, as PNG; needs matplotlib, not a display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pyplot: Any = plt
    variants = list(dict.fromkeys(line.variant for line in lines))
    figure, axes = pyplot.subplots(1, len(SHOWN), figsize=(12, 1.5 + 0.4 * len(variants)), sharey=True)
    for axis, name in zip(axes, SHOWN, strict=True):
        for line in lines:
            place = variants.index(line.variant) + (0.15 if line.mode == "joint" else -0.15)
            colour = "#D55E00" if line.mode == "joint" else "#0072B2"
            label = line.mode if line.variant == variants[0] else None
            spread = 100 * line.spread[name]
            axis.errorbar(100 * line.means[name], place, xerr=spread, fmt="o", color=colour, label=label, capsize=2)
        axis.set_xlabel(f"{name.replace('_', ' ')}, %")
        axis.grid(axis="x", color="#DDDDDD")
    axes[0].set_yticks(range(len(variants)), variants)
    axes[0].invert_yaxis()
    axes[-1].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
