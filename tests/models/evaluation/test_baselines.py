"""Each baseline picks the sentence it should."""

from dataclasses import replace

import pytest

from qdts.models.evaluation.baselines import LEXICAL_BASELINES, embedding_baseline, pick_sentences
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.semantic import Embedder

FIRST = "The engine was built in Derby."
SECOND = "It weighed nine tonnes and pulled six coaches."
DRIVER = "Its driver was Mary Hill, who later trained the crew of the night mail."


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lead_1", (FIRST,)), ("lead_2", (FIRST, SECOND)), ("bm25_2", (FIRST, DRIVER)), ("oracle_1", (DRIVER,))],
)
def test_lexical_baselines(engine_row: EvalRow, name: str, expected: tuple[str, ...]) -> None:
    assert pick_sentences(engine_row, LEXICAL_BASELINES[name]) == expected


def test_bm25_takes_the_rarer_words(engine_row: EvalRow) -> None:
    row = replace(engine_row, query="Which driver trained the crew?")
    assert pick_sentences(row, LEXICAL_BASELINES["bm25_1"]) == (DRIVER,)


def test_bm25_without_a_shared_word_is_the_lead(engine_row: EvalRow) -> None:
    assert pick_sentences(replace(engine_row, query="zebra"), LEXICAL_BASELINES["bm25_1"]) == (FIRST,)


def test_the_embedding_baseline_takes_the_closest(engine_row: EvalRow, embedder: Embedder) -> None:
    row = replace(engine_row, query=SECOND)
    assert pick_sentences(row, embedding_baseline(embedder)) == (SECOND,)


def test_a_word_limit_cuts_the_best_and_drops_the_rest(engine_row: EvalRow) -> None:
    assert pick_sentences(engine_row, LEXICAL_BASELINES["lead_2"], max_words=8) == (FIRST,)
    assert pick_sentences(engine_row, LEXICAL_BASELINES["lead_1"], max_words=3) == ("The engine was",)


def test_a_blank_document_gives_nothing(engine_row: EvalRow) -> None:
    assert pick_sentences(replace(engine_row, document=" \n"), LEXICAL_BASELINES["bm25_1"]) == ()
