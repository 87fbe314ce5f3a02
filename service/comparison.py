"""How the answers of two models to the same question compare: what is cheap to tell without knowing which is right.

Whether sentences have sources is not compared: an answer by the model with one that has none is not given, so of those
that are, all have; how often the second model's is rejected for that is an outcome of its own.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from qdts.models.document import Summary
from qdts.service.reply import DegradeReason, Reply, Rung

Outcome = Literal["same", "different", "failed", "guard_rejected"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Of a second model's answer with the first's; but for the outcome None where the second model gave none.

    `length_ratio`: code points of the second over those of the first. `source_overlap`: of what either quotes of the
    document, the share that both do.
    """

    outcome: Outcome
    length_ratio: float | None = None
    source_overlap: float | None = None


def compare(first: Reply, second: Reply) -> Comparison:
    """`first` is by the model."""
    if second.rung is not Rung.FULL:
        is_rejected = DegradeReason.GUARD_REJECTED in second.reasons
        return Comparison(outcome="guard_rejected" if is_rejected else "failed")
    text, other = first.summary.text, second.summary.text
    quoted, other_quoted = _quoted(first.summary), _quoted(second.summary)
    return Comparison(
        outcome="same" if text == other else "different",
        length_ratio=len(other) / max(1, len(text)),
        source_overlap=len(quoted & other_quoted) / max(1, len(quoted | other_quoted)),
    )


def _quoted(summary: Summary) -> set[int]:
    """The places in the document, of which a summary quotes a bounded number."""
    sources = (sentence.source for sentence in summary.sentences if sentence.source is not None)
    return {place for source in sources for place in range(source.start, source.end)}
