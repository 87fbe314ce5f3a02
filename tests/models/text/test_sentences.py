"""Sentences are where a reader would say, in several scripts, and in linear time whatever comes."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.text.sentences import MAX_SENTENCE_CHARS, split_sentences

# Rich in what the rules look at.
TEXTS = (
    st.text(alphabet=st.sampled_from("aB1. !?…,;:)\"'”\n\r\t。！？،؟।中字\u00a0\u200b\0😀"), max_size=300) | st.text()
)


def split(text: str, language: str = "") -> list[str]:
    return [span.of(text) for span in split_sentences(text, language)]


@given(TEXTS)
def test_spans_are_ordered_disjoint_trimmed_and_cover_all_but_white_space(text: str) -> None:
    spans = split_sentences(text)
    covered = 0
    for span in spans:
        assert span.start >= covered
        assert text[covered : span.start].strip() == ""
        assert span.of(text) == span.of(text).strip() != ""
        assert len(span) <= MAX_SENTENCE_CHARS
        covered = span.end
    assert text[covered:].strip() == ""


def test_blank_texts_hold_no_sentence() -> None:
    assert split_sentences("") == split_sentences(" \n\t\u3000\n") == []


@pytest.mark.parametrize(
    "sentences",
    [
        ["The engine was built in Derby.", "It weighed nine tonnes!", "Who drove it?", "Mary Hill."],
        ["She said “no.”", "(He had asked twice.)", "Then he left..."],
        ["It cost 3.50 in 1902.", "No. 4 weighed 2.5 tonnes."],
        ["Dr. Hill met Mrs. Gray, e.g. at St. James.", "They spoke."],
        ["J. R. Hill wrote it.", "It was read."],
        ["The U.S. engine of Acme Inc. was shown at 5 p.m. Monday.", "It sold."],
        ["Wait... what was that?", "Nothing."],
        ["他在德比出生。", "她是司机！", "你好吗？", "他说：“好。”", "完"],
        ["ولدت في ليدز.", "هل قادت القطار؟", "نعم."],
        ["वह लीड्स में पैदा हुई।", "क्या वह चालक थी?", "हाँ।"],
    ],
)
def test_sentences_of_running_text(sentences: list[str]) -> None:
    space = "" if "。" in sentences[0] else " "
    assert split(space.join(sentences)) == sentences


def test_abbreviations_depend_on_the_language() -> None:
    text = "Er kam bzw. Sie ging. Danach."
    assert split(text, "de-AT") == ["Er kam bzw. Sie ging.", "Danach."]
    assert split(text, "en") == ["Er kam bzw.", "Sie ging.", "Danach."]


def test_a_line_break_ends_a_sentence_unless_the_next_line_goes_on_in_lower_case() -> None:
    assert split("A heading\nIt was built\nin Derby.\nIt ran") == [
        "A heading",
        "It was built\nin Derby.",
        "It ran",
    ]


def test_a_blank_line_always_ends_a_sentence() -> None:
    assert split("one\n\ntwo \r\n \t\r\n three") == ["one", "two", "three"]


def test_what_is_too_long_is_cut_at_a_clause_then_at_a_space_then_anywhere() -> None:
    clause = "x" * 400 + ", " + "y" * 300
    assert [len(part) for part in split(clause)] == [401, 300]
    assert [len(part) for part in split("x" * 400 + " " + "y" * 300)] == [400, 300]
    assert [len(part) for part in split("x" * 1500)] == [600, 600, 300]


SIZE = 40_000
HOSTILE = {
    "one word": "a" * SIZE,
    "initials": "A. " * SIZE,
    "short sentences": "Aa. " * SIZE,
    "lower-case stops": "a. " * SIZE,
    "stops": "." * SIZE,
    "spaced stops": ". " * SIZE,
    "stops and quotes": '."' * SIZE,
    "one stop, then quotes": "." + '"' * SIZE,
    "newlines": "\n" * SIZE + "x",
    "lines": "x\n" * SIZE,
    "blank lines": "X\n \n" * SIZE,
    "spaces": "x" + " " * SIZE + "y",
    "spaces and newlines": "x" + " \n\t" * SIZE + "y",
    "Chinese without a stop": "中文字" * SIZE,
    "Chinese stops": "。" * SIZE,
    "commas": ", " * SIZE,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_time_is_linear(text: str) -> None:
    """Each takes less than a tenth of a second on an idle core."""
    started = time.process_time()
    split_sentences(text)
    assert time.process_time() - started < 10
