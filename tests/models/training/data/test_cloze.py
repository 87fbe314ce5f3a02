"""Questions made from sentences point at the sentence."""

import random
import time

import pytest

from qdts.models.text.words import content_stems
from qdts.models.training.data.cloze import cloze

SENTENCE = "The engine was built in Derby by Mary Hill in 1902 and weighed nine tonnes."


def test_a_question_word_takes_the_place_of_what_it_asks_for() -> None:
    queries = [cloze(SENTENCE, random.Random(seed)).query.lower() for seed in range(200)]
    asks = {word: [q for q in queries if q.startswith(word)] for word in ("when", "where", "who", "how many")}
    assert all(asks.values()), "each kind of question turns up"
    assert all("1902" not in query for query in asks["when"])
    assert all("derby" not in query for query in asks["where"])


def test_a_query_is_short_and_made_of_the_sentence_s_words() -> None:
    own = {*content_stems(SENTENCE), "when", "where", "who", "what", "which", "how", "many"}
    for seed in range(100):
        query = cloze(SENTENCE, random.Random(seed)).query
        assert len(query.split()) <= 14
        assert not set(content_stems(query)) - own - set(SENTENCE.lower().split())


def test_the_answer_is_what_the_query_leaves_out() -> None:
    made = [cloze(SENTENCE, random.Random(seed)) for seed in range(200)]
    assert {"1902", "Derby", "Mary Hill", ""} <= {answer for _, answer in made}
    for query, answer in made:
        assert answer in SENTENCE
        assert not answer or answer not in query


@pytest.mark.parametrize("part", ["January ", "in ", "1 ", "A ", "A of the ", "1,", "in 1 January 1 "])
def test_time_stays_small_on_odd_sentences(part: str) -> None:
    sentence = part * (600 // len(part))
    started = time.process_time()
    cloze(sentence, random.Random(0))
    assert time.process_time() - started < 2
