"""How two answers compare."""

from dataclasses import replace

import pytest

from qdts.models.document import Span, Summary, SummarySentence
from qdts.service.comparison import Comparison, compare
from qdts.service.reply import DegradeReason, Reply, Rung

DOCUMENT = "The tower is old. Its lamp was lit by keepers. It fell in 1990."


def reply(*sources: tuple[int, int], **fields: object) -> Reply:
    """A reply by the model that quotes these ranges of the document."""
    spans = [Span(*source) for source in sources]
    sentences = tuple(SummarySentence(text=span.of(DOCUMENT), source=span) for span in spans)
    made = Reply(summary=Summary(sentences=sentences, coverage=1.0), rung=Rung.FULL, origin_rung=Rung.FULL)
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (reply((0, 17)), Comparison(outcome="same", length_ratio=1.0, source_overlap=1.0)),
        # one sentence of 17 code points, and another of 28 after a space
        (reply((0, 17), (18, 46)), Comparison(outcome="different", length_ratio=46 / 17, source_overlap=17 / 45)),
        (reply((4, 9)), Comparison(outcome="different", length_ratio=5 / 17, source_overlap=5 / 17)),
        (reply((18, 46)), Comparison(outcome="different", length_ratio=28 / 17, source_overlap=0.0)),
        (reply((0, 17), rung=Rung.LEAD), Comparison(outcome="failed")),
        (
            reply((0, 17), rung=Rung.EXTRACTIVE, reasons=(DegradeReason.GUARD_REJECTED,)),
            Comparison(outcome="guard_rejected"),
        ),
    ],
)
def test_what_is_compared(second: Reply, expected: Comparison) -> None:
    found = compare(reply((0, 17)), second)
    assert found.outcome == expected.outcome
    assert found.length_ratio == pytest.approx(expected.length_ratio)
    assert found.source_overlap == pytest.approx(expected.source_overlap)


def test_the_same_words_from_elsewhere_are_the_same_text() -> None:
    """A document may say a thing twice: then only the sources differ."""
    first, second = reply((0, 17)), reply((0, 17))
    moved = replace(second.summary.sentences[0], source=Span(100, 117))
    second = replace(second, summary=replace(second.summary, sentences=(moved,)))
    assert compare(first, second) == Comparison(outcome="same", length_ratio=1.0, source_overlap=0.0)


def test_nothing_quoted_divides_by_nothing() -> None:
    assert compare(reply(), reply()) == Comparison(outcome="same", length_ratio=0.0, source_overlap=0.0)
