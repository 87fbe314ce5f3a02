"""Sentences that may be quoted, whole and cut."""

import numpy as np
import pytest

from qdts.models.document import Span
from qdts.models.source_sentence import SourceSentence, ends_clause, read_source
from qdts.models.tokenizer import Tokenizer

TEXT = "It was late. The engine, built in Derby, weighed 3,500 tonnes."
SPAN = Span(13, len(TEXT))


@pytest.fixture(scope="module")
def source(tokenizer: Tokenizer) -> SourceSentence:
    [pieces] = tokenizer.encode_pieces([SPAN.of(TEXT)])
    return read_source(SPAN, pieces, TEXT)


def test_places_are_the_documents(source: SourceSentence) -> None:
    assert source.starts[0] == SPAN.start and source.ends[-1] == SPAN.end
    assert TEXT[source.starts[0] : source.ends[-1]] == SPAN.of(TEXT)


def test_clauses_end_where_marks_do(source: SourceSentence) -> None:
    ends = [int(end) for end, is_end in zip(source.ends, source.clause_ends, strict=True) if is_end]
    assert [TEXT[:end][-6:] for end in ends] == ["ngine,", "Derby,", "onnes."]


@pytest.mark.parametrize(("text", "end", "expected"), [("a, b", 2, True), ("3,500", 2, False), ("天，地", 2, True)])
def test_a_clause_mark_inside_a_number_ends_nothing(text: str, end: int, expected: bool) -> None:
    assert ends_clause(text, end) is expected


def test_a_cut_sentence_ends_a_clause_where_it_is_cut(source: SourceSentence) -> None:
    for length in range(1, len(source.ids)):
        cut = source.cut(length)
        assert len(cut.ids) == len(cut.starts) == len(cut.ends) == len(cut.clause_ends) == length
        assert cut.clause_ends[-1] and cut.words_before.tolist() == source.words_before[: length + 1].tolist()
        np.testing.assert_array_equal(cut.clause_ends[:-1], source.clause_ends[: length - 1])
    assert source.cut(len(source.ids)) is source
    assert not source.clause_ends[0], "cutting leaves the whole one as it was"
