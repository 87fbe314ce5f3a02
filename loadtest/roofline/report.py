"""The measurement as a table and a picture."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

PLOT_PACKAGE = "matplotlib"
# Okabe & Ito's palette, which colour-blind readers can tell apart
_COLOURS = {"int8": "#D55E00", "fp32": "#0072B2"}
_MARKERS = {"1": "o", "8": "s"}
Lines = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]  # by precision and batch size


def table(result: Mapping[str, Any]) -> str:
    """Markdown of a result as it is recorded: where, the peaks, then a line per phase of a whole batch."""
    figures = result["figures"]
    return "\n".join([_where(result), "", *_peaks(figures["peaks"]), "", *_header(), *_rows(figures["lines"])]) + "\n"


def _where(result: Mapping[str, Any]) -> str:
    figures = result["figures"]
    return (
        f"{result['machine']['processor']}, threads: {figures['threads']}, documents of {figures['sizes']['document']} "
        f"tokens; commit {result['commit']}, {result['at']}."
    )


def _peaks(peaks: Mapping[str, float]) -> Iterator[str]:
    yield f"8-bit products {peaks['int8_ops'] / 1e9:.0f} GOP/s, fp32 products {peaks['fp32_ops'] / 1e9:.0f} GFLOP/s;"
    yield f"read from the last cache {peaks['cache_read'] / 1e9:.1f} GB/s, from memory {peaks['memory_read'] / 1e9:.1f}"
    yield f"GB/s (medians). What exceeds {peaks['cache_bytes'] / 1e6:.0f} MB counts as read from memory."


def _header() -> Iterator[str]:
    yield "| precision | batch | phase | GOP | 8-bit | MB | ms | compute, ms | read, ms | share of the roofline |"
    yield "|---|---|---|---|---|---|---|---|---|---|"


def _rows(lines: Lines) -> Iterator[str]:
    for precision, batches in lines.items():
        for batch, of_batch in batches.items():
            for line in of_batch:
                yield (
                    f"| {precision} | {batch} | {line['phase']} | {line['gop']:.3f} | {100 * line['int8_share']:.0f} % "
                    f"| {line['megabytes']:.2f} | {line['ms']['median']:.3f} | {line['compute_ms']:.3f} "
                    f"| {line['read_ms']:.3f} | {100 * line['roofline']:.0f} % |"
                )


def save_plot(figures: Mapping[str, Any], path: Path, title: str) -> None:
    """Write the picture as PNG; needs matplotlib, not a display."""
    import_module(PLOT_PACKAGE).use("Agg")
    pyplot: Any = import_module(f"{PLOT_PACKAGE}.pyplot")
    lines: Lines = figures["lines"]
    figure, axes = pyplot.subplots(1, len(lines), figsize=(6.4 * len(lines), 4.8), squeeze=False)
    for axis, (precision, batches) in zip(axes[0], lines.items(), strict=True):
        _draw_roof(axis, figures["peaks"], precision)
        for batch, of_batch in batches.items():
            _draw_points(axis, of_batch, precision, batch)
        axis.set_title(precision)
        axis.legend(frameon=False, fontsize=8)
    axes[0, 0].set_ylabel("giga-operations per second")
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_roof(axis: Any, peaks: Mapping[str, float], precision: str) -> None:
    intensities = [2.0**power for power in range(-2, 14)]
    for source, style in (("cache_read", "-"), ("memory_read", "--")):
        roof = [min(peaks[f"{precision}_ops"], value * peaks[source]) / 1e9 for value in intensities]
        axis.plot(intensities, roof, style, color="#888888", linewidth=1, label=source.replace("_", " "))
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlabel("operations per byte")
    axis.grid(color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_points(axis: Any, lines: Sequence[Mapping[str, Any]], precision: str, batch: str) -> None:
    places = [1000 * line["gop"] / line["megabytes"] for line in lines]
    rates = [1000 * line["gop"] / line["ms"]["median"] for line in lines]
    axis.scatter(
        places, rates, s=22, color=_COLOURS[precision], marker=_MARKERS.get(batch, "^"), label=f"batch {batch}"
    )
    for line, place, rate in zip(lines, places, rates, strict=True):
        axis.annotate(line["phase"], (place, rate), xytext=(4, 3), textcoords="offset points", fontsize=7)
