"""Spans are ordered and half-open; a summary's text is its sentences."""

import pytest

from qdts.models.document import Span, Summary, SummarySentence


def test_a_span_is_half_open() -> None:
    assert Span(2, 5).of("abcdefg") == "cde"
    assert len(Span(2, 5)) == 3
    assert Span(2, 2).of("abc") == ""


@pytest.mark.parametrize(("start", "end"), [(3, 2), (-1, 2)])
def test_a_span_that_is_not_ordered_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match=rf"\[{start}, {end}\)"):
        Span(start, end)


def test_the_text_of_a_summary_joins_its_sentences() -> None:
    sentences = tuple(SummarySentence(text=text, source=None) for text in ("One.", "Two."))
    assert Summary(sentences=sentences, coverage=1.0).text == "One. Two."
