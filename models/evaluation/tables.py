"""A report as tables a person reads, in plain text or Markdown. Knows nothing of how it was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from qdts.models.evaluation import metrics
from qdts.models.evaluation.bootstrap import Score
from qdts.models.evaluation.report import REFERENCE_SYSTEM, Report, SystemReport

_ABSENT = "-"
_OVERALL = {
    metrics.ROUGE_1: "ROUGE-1",
    metrics.ROUGE_2: "ROUGE-2",
    metrics.ROUGE_L: "ROUGE-L",
    metrics.ANSWER_CONTAINED: "answer in it",
    metrics.WORDS: "words",
    metrics.COPIED_4GRAMS: "4-grams copied",
    metrics.SEMANTIC_REFERENCE: "cosine ref.",
    metrics.SEMANTIC_QUERY: "cosine query",
}
_PER_SET = {
    metrics.ROUGE_L: "ROUGE-L",
    metrics.ANSWER_CONTAINED: "Answer contained, %",
    metrics.WORDS: "Words",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a header and rows of cells; the first column is the system."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def report_tables(report: Report) -> list[Table]:
    """Overall, gains over the reference system, and one table per main measure with a column per set."""
    tables = [_overall(report), *(_by_set(report, name) for name in _PER_SET)]
    if any(system.gain for system in report.systems):
        tables.insert(1, _gains(report))
    return tables


def to_text(report: Report) -> str:
    """The tables with aligned columns, for a terminal."""
    return "\n\n".join([to_lines(table) for table in report_tables(report)] + list(report.notes))


def to_markdown(report: Report) -> str:
    """The tables as a Markdown page."""
    parts = [_markdown(table) for table in report_tables(report)]
    return "\n\n".join(["# Evaluation", *parts, *report.notes]) + "\n"


def _overall(report: Report) -> Table:
    present = [name for name in _OVERALL if any(name in system.macro for system in report.systems)]
    counts = f"mean of {len(report.num_rows)} sets, {sum(report.num_rows.values())} rows"
    title = f"Overall: {counts} (ROUGE-L with 95 % interval)"
    header = ("system", *(_OVERALL[name] for name in present), "ms")
    rows = [(s.name, *(_overall_cell(s, name) for name in present), _milliseconds(s)) for s in report.systems]
    return Table(title, header, tuple(rows))


def _overall_cell(system: SystemReport, name: str) -> str:
    score = system.macro.get(name)
    cell = _cell(name, score)
    if score is None or name != metrics.ROUGE_L:
        return cell
    return f"{cell} [{_cell(name, score.low)}, {_cell(name, score.high)}]"


def _milliseconds(system: SystemReport) -> str:
    return f"{system.facts['elapsed_ms']:.1f}" if "elapsed_ms" in system.facts else _ABSENT


def _gains(report: Report) -> Table:
    shown = (metrics.ROUGE_L, metrics.ANSWER_CONTAINED, metrics.WORDS)
    header = ("system", *(_OVERALL[name] for name in shown))
    systems = [system for system in report.systems if system.gain]
    rows = tuple((s.name, *(_gain_cell(name, s.gain.get(name)) for name in shown)) for s in systems)
    return Table(f"Gain over {REFERENCE_SYSTEM}, row by row, mean of the sets [95 % interval]", header, rows)


def _gain_cell(name: str, score: Score | None) -> str:
    if score is None:
        return _ABSENT
    low, mean, high = (_scaled(name, value) for value in (score.low, score.mean, score.high))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _by_set(report: Report, name: str) -> Table:
    sets = [s for s in report.num_rows if any(name in system.by_set.get(s, {}) for system in report.systems)]
    header = ("system", *(f"{s} ({report.num_rows[s]})" for s in sets))
    rows = tuple(
        (system.name, *(_cell(name, system.by_set.get(s, {}).get(name)) for s in sets)) for system in report.systems
    )
    return Table(_PER_SET[name], header, rows)


def _cell(name: str, score: Score | float | None) -> str:
    if score is None:
        return _ABSENT
    return f"{_scaled(name, score.mean if isinstance(score, Score) else score):.1f}"


def _scaled(name: str, value: float) -> float:
    """Shares in per cent, as the field writes ROUGE; words as they are."""
    return value if name == metrics.WORDS else 100 * value


def to_lines(table: Table) -> str:
    """One table with aligned columns under its title."""
    rows = (table.header, *table.rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [_aligned(row, widths) for row in rows]
    return "\n".join([table.title, *lines])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
    return "  ".join([first.strip().ljust(widths[0]), *others])


def _markdown(table: Table) -> str:
    rows = [table.header, ("---", *("---:" for _ in table.header[1:])), *table.rows]
    return "\n".join([f"## {table.title}", "", *("| " + " | ".join(row) + " |" for row in rows)])
