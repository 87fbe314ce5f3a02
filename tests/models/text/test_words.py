"""Words for matching, and words as a reader counts them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.text.words import content_stems, split_words, stem, word_starts


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("engine engines Engine's ENGINE’S", "engin"),
        ("stop stops stopped stopping", "stop"),
        ("city cities", "city"),
        ("box boxes", "box"),
        ("train trained training", "train"),
    ],
)
def test_forms_of_a_word_share_a_stem(words: str, expected: str) -> None:
    assert {stem(word) for word in words.split()} == {expected}


@pytest.mark.parametrize("word", ["gas", "bus", "glass", "this", "red", "ring", "1960s", "Šárka"])
def test_short_words_and_names_stay(word: str) -> None:
    assert stem(word) == word.casefold()


def test_places_are_those_of_the_text() -> None:
    text = "It's 3,500 tonnes — of_coal!"
    assert [text[word.start : word.end] for word in split_words(text)] == [
        "It's",
        "3",
        "500",
        "tonnes",
        "of",
        "coal",
    ]


def test_scripts_without_spaces_are_cut_into_characters() -> None:
    assert [word.stem for word in split_words("iPhone手机 한국")] == ["iphon", "手", "机", "한", "국"]


def test_content_stems_leave_out_stop_words_unless_there_is_nothing_else() -> None:
    assert content_stems("Who was the driver of the engine?") == ["driver", "engin"]
    assert content_stems("Who was it?") == ["who", "was", "it"]
    assert content_stems("?!") == []


def test_a_stem_is_short_and_a_huge_word_is_not_kept() -> None:
    assert len(stem("a" * 1_000_000)) == 32
    assert stem("a" * 40) == stem("a" * 1_000_000)


@given(st.text(alphabet=st.sampled_from("ab.,'-\n \u00a0é😀ก한")))
def test_a_reader_counts_by_white_space(text: str) -> None:
    if "ก" not in text:
        assert len(word_starts(text)) >= len(text.split())
        assert len(word_starts(text)) == sum(-(-len(word) // 64) for word in text.split())


def test_a_reader_counts_characters_where_there_are_no_spaces() -> None:
    assert word_starts("用iPhone 打字") == [0, 1, 8, 9]
    assert len(word_starts("กรุงเทพ")) == 7
    assert len(word_starts("한국 사람")) == 2


def test_a_run_without_end_is_many_words() -> None:
    assert len(word_starts("x" * 6400)) == 100


@pytest.mark.parametrize("text", ["a" * 100_000, "a'" * 50_000, "中" * 100_000, "'" * 100_000])
def test_time_is_linear(text: str) -> None:
    started = time.process_time()
    split_words(text)
    word_starts(text)
    assert time.process_time() - started < 10
