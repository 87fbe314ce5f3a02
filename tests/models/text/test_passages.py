"""What of a long document is read: within bounds, the lead and the best first."""

from hypothesis import given
from hypothesis import strategies as st

from qdts.models.document import Span
from qdts.models.text.passages import estimate_tokens, select_passages


def spans_of(lengths: list[int]) -> list[Span]:
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return [Span(start, start + length) for start, length in zip(starts, lengths, strict=True)]


SENTENCES = st.lists(st.tuples(st.integers(1, 600), st.floats(0, 20)), max_size=60)


@given(SENTENCES, st.integers(1, 500), st.integers(1, 20))
def test_within_both_bounds(sentences: list[tuple[int, float]], max_tokens: int, max_sentences: int) -> None:
    spans = spans_of([length for length, _ in sentences])
    chosen = select_passages(
        spans, [score for _, score in sentences], max_tokens=max_tokens, max_sentences=max_sentences
    )
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= max_sentences
    assert (0 in chosen) == bool(spans), "the first sentence says what the document is about"
    if len(chosen) > 1:
        assert sum(estimate_tokens(spans[i]) for i in chosen) <= max_tokens


def test_a_document_that_fits_is_read_whole() -> None:
    assert select_passages(spans_of([40] * 5), [0.0] * 5, max_tokens=60, max_sentences=5) == [0, 1, 2, 3, 4]


def test_the_lead_then_the_best_with_its_neighbours() -> None:
    scores = [0.0] * 20
    scores[10], scores[15] = 5.0, 4.0
    chosen = select_passages(spans_of([40] * 20), scores, max_tokens=1000, max_sentences=5)
    assert chosen == [0, 9, 10, 11, 15]


def test_what_is_too_long_is_passed_over() -> None:
    scores = [0.0, 9.0, 5.0, 0.0]
    assert 2 in select_passages(spans_of([40, 600, 40, 400]), scores, max_tokens=40, max_sentences=9)
    assert 1 not in select_passages(spans_of([40, 600, 40, 400]), scores, max_tokens=40, max_sentences=9)
