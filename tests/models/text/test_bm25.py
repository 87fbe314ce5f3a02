"""BM25 against numbers worked out by hand, and its limits."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.text.bm25 import score_sentences
from qdts.models.text.sentences import split_sentences

TEXT = "Red cat sat. Red dog ran home. Blue bird."


def scores(query: str, text: str = TEXT) -> list[float]:
    return score_sentences(query, text, split_sentences(text))


def test_by_hand() -> None:
    """Three sentences of 3, 4 and 2 words, 3 on average; "red" stands in two, "cat" in one."""
    idf_red, idf_cat = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    first = (idf_red + idf_cat) * 2.2 / (1 + 1.2)
    second = idf_red * 2.2 / (1 + 1.2 * (0.5 + 0.5 * 4 / 3))
    assert scores("red cat") == pytest.approx([first, second, 0.0])


def test_a_word_twice_in_the_query_counts_once() -> None:
    assert scores("cat cat cat") == scores("cat")


def test_the_query_and_the_text_meet_in_their_stems() -> None:
    assert scores("Cats sitting")[0] > 0


def test_nothing_shared_scores_nothing() -> None:
    assert scores("zebra") == scores("") == [0.0, 0.0, 0.0]
    assert score_sentences("cat", "", []) == []


@given(st.text(max_size=60), st.text(max_size=200))
def test_scores_are_finite_and_never_negative(query: str, text: str) -> None:
    found = scores(query, text)
    assert len(found) == len(split_sentences(text))
    assert all(0 <= score < math.inf for score in found)


def test_a_long_query_on_many_sentences_stays_cheap() -> None:
    """Work grows with the words that are shared, not with query times sentences."""
    query = " ".join(f"word{i}" for i in range(2_000))
    text = "Aa bb. " * 10_000
    started = time.process_time()
    scores(query, text)
    assert time.process_time() - started < 10
