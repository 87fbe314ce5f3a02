"""Two evaluations of one model, before and after training, side by side as text."""

from collections.abc import Iterator, Mapping
from typing import Any

from qdts.models.evaluation import metrics
from qdts.models.evaluation.report import Report, SystemReport
from qdts.models.evaluation.tables import Table, to_lines

_HEADER = ("system", "ROUGE-L", "95 %", "answer in it", "words")


def before_after_text(
    before: Report, after: Report, sample_before: Mapping[str, Any], sample_after: Mapping[str, Any]
) -> str:
    """The held-out rows with intervals; the shipped sample as means, where it was measured."""
    count = sum(after.num_rows.values())
    parts = [to_lines(Table(f"Held-out rows ({count}):", _HEADER, tuple(_rows(before, after))))]
    if sample_before and sample_after:
        title = "The sample that ships, to see what else changed:"
        rows = (*_card_rows("before", sample_before), *_card_rows("after", sample_after))
        parts.append(to_lines(Table(title, _HEADER, rows)))
    return "\n\n".join(parts)


def _rows(before: Report, after: Report) -> Iterator[tuple[str, ...]]:
    """What needs no model once, then each mode before and after."""
    for system in after.systems:
        if not _is_model(system.name):
            yield _row(system.name, system)
    for when, report in (("before", before), ("after", after)):
        for system in report.systems:
            if _is_model(system.name):
                yield _row(f"{when}: {system.name}", system)


def _row(name: str, system: SystemReport) -> tuple[str, ...]:
    score = system.macro[metrics.ROUGE_L]
    means = {measure: value.mean for measure, value in system.macro.items()}
    return (name, _percent(score.mean), f"[{_percent(score.low)}, {_percent(score.high)}]", *_others(means))


def _card_rows(when: str, card: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, means in card["systems"].items():
        if _is_model(name):
            yield (f"{when}: {name}", _percent(means[metrics.ROUGE_L]), "", *_others(means))


def _others(means: Mapping[str, float]) -> tuple[str, str]:
    answered = means.get(metrics.ANSWER_CONTAINED)
    return ("-" if answered is None else _percent(answered), f"{means[metrics.WORDS]:.1f}")


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _is_model(name: str) -> bool:
    return name.count("/") == 2
