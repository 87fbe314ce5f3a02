"""The ten features, by hand."""

import numpy as np
import pytest

from qdts.models.interaction import NUM_TEXT_FEATURES, QueryView, SentenceView, sentence_features, token_features
from qdts.models.lexicon import Lexicon

LEXICON = Lexicon(np.array([0.5, 1.0, 0.25], np.float32), np.array([[127, 0], [0, 127], [0, -127]], np.int8))
QUERY = QueryView(ids=np.array([1]), stems=frozenset({"cat", "sit"}))


def sentence(ids: list[int], stems: list[str], bm25: float) -> SentenceView:
    tokens = np.array(ids, np.int64)
    held = len(QUERY.stems.intersection(stems))
    return SentenceView(ids=tokens, token_stems=stems, vector=LEXICON.mean_vector(tokens), bm25=bm25, num_held=held)


CAT = sentence([1, 0], ["cat", ""], bm25=5.0)
DOG = sentence([2], ["dog"], bm25=0.0)


def test_sentence_columns() -> None:
    found = sentence_features(QUERY, [CAT, DOG], LEXICON)
    cosine = 1 / np.sqrt(1.25)
    assert found[0] == pytest.approx([1.0, 0.5, 1.0, cosine, 1.0, 1.0, 0.5])
    assert found[1] == pytest.approx([0.0, 0.0, 0.0, -1.0, 0.0, 0.5, 0.0])


def test_token_columns_begin_with_the_marker() -> None:
    found = token_features(QUERY, [CAT], LEXICON)
    assert found == pytest.approx(np.array([[0, 0, 1], [1.0, 1.0, 0], [0, 0, 0]]))


def test_together_they_are_all_features() -> None:
    columns = sentence_features(QUERY, [CAT], LEXICON).shape[1] + token_features(QUERY, [CAT], LEXICON).shape[1]
    assert columns == NUM_TEXT_FEATURES


def test_a_query_that_shares_nothing_says_so_without_a_division_by_zero() -> None:
    nothing = QueryView(ids=np.array([], np.int64), stems=frozenset())
    quiet = sentence([0], [""], bm25=0.0)
    found = sentence_features(nothing, [quiet, quiet], LEXICON)
    assert np.isfinite(found).all()
    assert found[:, 5].tolist() == [1.0, 0.5], "among equals the first ranks first"
    assert found[:, 2].tolist() == [0.0, 0.0]
    assert token_features(nothing, [quiet], LEXICON).tolist() == [[0, 0, 1], [0, 0, 0]]


def test_a_sentences_token_columns_do_not_depend_on_the_others() -> None:
    together = token_features(QUERY, [CAT, DOG, CAT], LEXICON)
    apart = np.concatenate([token_features(QUERY, [one], LEXICON) for one in (CAT, DOG, CAT)])
    assert together.tobytes() == apart.tobytes()
