"""Questions made from sentences: they point at the sentence, and the document holds it."""

import random
import time

import pytest

from qdts.models.text.words import content_stems
from qdts.models.training.weak import TrainRow, pseudo_query, weak_rows

SENTENCE = "The engine was built in Derby by Mary Hill in 1902 and weighed nine tonnes."


def test_rows_hold_their_reference(rows: list[TrainRow], prose: str) -> None:
    assert len(rows) > 20
    for row in rows:
        assert row.reference in row.document
        assert row.document in prose
        assert 8 <= len(row.reference.split()) <= 40
        assert len(row.document) <= 1_200
        assert row.title in ("", "Engines")
        assert row.query.strip()


def test_the_title_is_there_about_half_of_the_time(rows: list[TrainRow]) -> None:
    assert 0.2 < sum(row.title != "" for row in rows) / len(rows) < 0.8


def test_rows_repeat_exactly_with_their_seed(prose: str) -> None:
    made = [list(weak_rows(f"T\n{prose}", random.Random(seed), per_document=9)) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("text", ["", "Title alone", "Title\nOne sentence is too few."])
def test_a_document_with_too_few_sentences_makes_none(text: str) -> None:
    assert list(weak_rows(text, random.Random(0), per_document=9)) == []


def test_a_question_word_takes_the_place_of_what_it_asks_for() -> None:
    queries = [pseudo_query(SENTENCE, random.Random(seed)).lower() for seed in range(200)]
    asks = {word: [q for q in queries if q.startswith(word)] for word in ("when", "where", "who", "how many")}
    assert all(asks.values()), "each kind of question turns up"
    assert all("1902" not in query for query in asks["when"])
    assert all("derby" not in query for query in asks["where"])


def test_a_query_is_short_and_made_of_the_sentence_s_words() -> None:
    own = {*content_stems(SENTENCE), "when", "where", "who", "what", "which", "how", "many"}
    for seed in range(100):
        query = pseudo_query(SENTENCE, random.Random(seed))
        assert len(query.split()) <= 14
        assert not set(content_stems(query)) - own - set(SENTENCE.lower().split())


@pytest.mark.parametrize("part", ["January ", "in ", "1 ", "A ", "A of the ", "1,", "in 1 January 1 "])
def test_time_stays_small_on_odd_sentences(part: str) -> None:
    sentence = part * (600 // len(part))
    started = time.process_time()
    pseudo_query(sentence, random.Random(0))
    assert time.process_time() - started < 2
