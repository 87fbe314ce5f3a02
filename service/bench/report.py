"""A curve for people: a table, a picture, a page that holds both."""

import base64
import html
import io
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qdts.service.bench.curve import Curve, Point

PLOT_PACKAGE = "matplotlib"
# Okabe & Ito's palette, which colour-blind readers can tell apart
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#000000")
_HEAD = (
    "rate/s",
    "offered/s",
    "full/s",
    "by the model/s",
    "any/s",
    "attained",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "rejected",
    "reject p99 ms",
)
_HEAD += ("expired", "late", "unsent", "lag p99 ms")
_STYLE = "body{font:14px sans-serif;margin:2em}td,th{padding:.2em .7em;text-align:right}table{border-collapse:collapse}"


def to_markdown(curve: Curve) -> str:
    """The points as a table."""
    lines = [_HEAD, ("---:",) * len(_HEAD), *(row(point) for point in curve.points)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def row(point: Point) -> tuple[str, ...]:
    """One point, as the table has it."""
    figures = point.figures
    latency = figures.accepted
    goodput = (figures.full_goodput_qps, figures.model_goodput_qps, figures.goodput_qps)
    rates = (point.rate, figures.offered_qps, *goodput)
    return (
        *(f"{rate:.1f}" for rate in rates),
        f"{figures.attainment:.1%}",
        *(_number(value) for value in (latency.p50_ms, latency.p90_ms, latency.p99_ms)),
        str(figures.rejected),
        _number(figures.rejections.p99_ms),
        str(figures.expired),
        str(figures.late),
        str(figures.unsent),
        _number(figures.sending_lag_p99_ms),
    )


def describe_run(curve: Curve) -> str:
    """One line on how the curve was measured."""
    capacity = "" if curve.capacity_qps is None else f"capacity {curve.capacity_qps:.1f}/s · "
    return f"{capacity}deadline {curve.deadline_ms:g} ms · {curve.process} arrivals · {curve.seconds:g} s a point"


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec(PLOT_PACKAGE) is not None


def save_plot(curve: Curve, file: Path | io.BytesIO) -> None:
    """Goodput, latency, rungs and reasons over offered load, as PNG; needs matplotlib, not a display."""
    import_module(PLOT_PACKAGE).use("Agg")
    pyplot: Any = import_module(f"{PLOT_PACKAGE}.pyplot")
    figure, axes = pyplot.subplots(2, 2, figsize=(13, 8.5))
    _draw_goodput(axes[0][0], curve)
    _draw_latency(axes[0][1], curve)
    _draw_counts(axes[1][0], curve, "answers by rung", [point.figures.rungs for point in curve.points])
    _draw_counts(axes[1][1], curve, "reasons of degraded answers", [point.figures.reasons for point in curve.points])
    figure.suptitle(describe_run(curve))
    figure.tight_layout()
    figure.savefig(file, dpi=110, format="png")
    pyplot.close(figure)


def to_html(curve: Curve, title: str = "Goodput") -> str:
    """A page of its own: the table and, where matplotlib is installed, the picture."""
    image = ""
    if can_plot():
        png = io.BytesIO()
        save_plot(curve, png)
        image = f'<p><img alt="curves" src="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"></p>'
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in _HEAD)
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row(point)) + "</tr>" for point in curve.points)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1><p>{html.escape(describe_run(curve))}</p>"
        f"<table><tr>{head}</tr>{rows}</table>{image}</html>\n"
    )


def _draw_goodput(axis: Any, curve: Curve) -> None:
    loads = _loads(curve)
    axis.plot(loads, loads, color="#BBBBBB", linestyle=":", label="offered")
    axis.plot(
        loads, [p.figures.goodput_qps for p in curve.points], marker="o", color=_COLOURS[0], label="in time, any rung"
    )
    model = [point.figures.model_goodput_qps for point in curve.points]
    axis.plot(loads, model, marker="o", color=_COLOURS[1], label="in time, by the model")
    full = [point.figures.full_goodput_qps for point in curve.points]
    axis.plot(loads, full, marker="o", color=_COLOURS[2], label="in time, in full")
    _finish(axis, "answers per second", "")


def _draw_latency(axis: Any, curve: Curve) -> None:
    for number, name in enumerate(("p50_ms", "p90_ms", "p99_ms", "p999_ms")):
        values = [getattr(point.figures.accepted, name) for point in curve.points]
        axis.plot(_loads(curve), values, marker="o", color=_COLOURS[number], label=name.removesuffix("_ms"))
    axis.axhline(curve.deadline_ms, color="#000000", linewidth=0.8, linestyle="--", label="deadline")
    axis.set_yscale("log")
    _finish(axis, "ms from intended send time, accepted calls", "")


def _draw_counts(axis: Any, curve: Curve, title: str, counts: Sequence[dict[str, int]]) -> None:
    names = sorted({name for one in counts for name in one})
    for number, name in enumerate(names):
        shares = [one.get(name, 0) / point.figures.planned for one, point in zip(counts, curve.points, strict=True)]
        axis.plot(_loads(curve), shares, marker="o", color=_COLOURS[number % len(_COLOURS)], label=name)
    _finish(axis, "share of what was offered", title)


def _finish(axis: Any, label: str, title: str) -> None:
    axis.set_xlabel("offered requests per second")
    axis.set_ylabel(label)
    axis.set_title(title)
    axis.set_ylim(bottom=0 if axis.get_yscale() == "linear" else None)
    axis.grid(color="#DDDDDD", linewidth=0.6)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False)


def _loads(curve: Curve) -> list[float]:
    return [point.figures.offered_qps for point in curve.points]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
