"""Summaries of whole sentences: they quote, stay within their words, and always answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.document import Document, Summary
from qdts.models.text.extractive import extract, lead, quote
from qdts.models.text.sentences import split_sentences
from qdts.models.text.words import word_starts

ENGINE = (
    "The engine was built in Derby. It weighed nine tonnes and pulled six coaches. "
    "Its driver was Mary Hill, who trained the crew of the night mail. Hill was the driver of the mail, too."
)
TEXTS = st.text(alphabet=st.sampled_from("ab. \n,!中。ก😀\u200b\0"), max_size=200) | st.text(max_size=200)
BLANK_IS_NOTHING = TEXTS.filter(lambda text: text.strip() != "")


def texts(summary: Summary) -> list[str]:
    return [sentence.text for sentence in summary.sentences]


def test_the_best_sentence_and_a_good_second_in_document_order() -> None:
    found = extract("Who was the driver of the mail?", Document(text=ENGINE), max_words=35)
    assert texts(found) == [
        "Its driver was Mary Hill, who trained the crew of the night mail.",
        "Hill was the driver of the mail, too.",
    ]


def test_a_second_that_is_not_good_enough_is_left_out() -> None:
    assert texts(extract("nine tonnes", Document(text=ENGINE), max_words=35)) == [
        "It weighed nine tonnes and pulled six coaches."
    ]


def test_without_a_shared_word_the_lead_answers() -> None:
    document = Document(text=ENGINE)
    assert extract("zebra", document, max_words=20) == lead(document, max_words=20)


def test_the_lead_is_the_first_sentences_that_fit() -> None:
    first, second = "The engine was built in Derby.", "It weighed nine tonnes and pulled six coaches."
    assert texts(lead(Document(text=ENGINE), max_words=14)) == [first, second]
    assert texts(lead(Document(text=ENGINE), max_words=13)) == [first]
    assert texts(lead(Document(text=ENGINE), max_words=3)) == ["The engine was"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("天地玄黄，宇宙洪荒。", "天地玄"),
        ("well-known, isn't it? yes", "well-known, isn't it?"),
        ("x - y z", "x - y"),
    ],
)
def test_a_cut_keeps_so_many_words(text: str, expected: str) -> None:
    assert texts(lead(Document(text=text), max_words=3)) == [expected]


def test_a_quotation_stands_on_one_line() -> None:
    text = "It was\n built \t in Derby."
    assert quote(split_sentences(text)[0], text) == "It was built in Derby."


@given(BLANK_IS_NOTHING, st.text(max_size=20), st.integers(1, 40))
def test_both_rungs_answer_within_their_words_and_quote_exactly(text: str, query: str, max_words: int) -> None:
    document = Document(text=text)
    for summary in (extract(query, document, max_words=max_words), lead(document, max_words=max_words)):
        assert summary.sentences
        assert 1 <= len(word_starts(summary.text)) <= max_words
        assert len(summary.text.split()) <= max_words
        ends = 0
        for sentence in summary.sentences:
            assert sentence.source is not None and sentence.source.start >= ends
            assert sentence.text == quote(sentence.source, text)
            ends = sentence.source.end
