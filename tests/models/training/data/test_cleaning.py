"""Remnants go, text stays; a document and its reference are cleaned alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.evaluation.samples import load_row_file
from qdts.models.training.data.cleaning import broken_share, clean_text, repeated_share


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("a\x00b\x07c\u200b\ufeff", "abc"),
        ("co\u00adoperate", "cooperate"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("itâ€™s cafÃ© Â£5", "it’s café £5"),
        ("AT&amp;T &ndash; &#64;home &unknownthing;", "AT&T – @home &unknownthing;"),
        ("<p>One<br/>two <b class='x'>three</b></p>", "One two three"),
        ("a List<T> of <string> and x < y > z", "a List<T> of <string> and x < y > z"),
        ("Preface {:.part} one", "Preface one"),
        ("Homer (; ) was () a poet", "Homer was a poet"),
        ("a \t\u00a0 b", "a b"),
        ("a\n \n\n\n\nb", "a\n\nb"),
        ("Menu\nMenu\n\nMenu\nText", "Menu\n\nText"),
        ("e\u0301", "é"),
    ],
)
def test_remnants(dirty: str, clean: str) -> None:
    assert clean_text(dirty) == clean


@pytest.mark.parametrize(
    "text", ["Ã is a letter", "naïve 中文 नमस्ते\u200dx مرحبا", "Âge", "5 < 6 & 7 > 2", "a\n\nb\n- c\n- d"]
)
def test_clean_text_stays(text: str) -> None:
    assert clean_text(text) == text


def test_real_rows_stay_but_for_white_space() -> None:
    for row in load_row_file():
        assert clean_text(row.document).split() == row.document.split()


PARTS = st.sampled_from(
    ["a", " ", "\n", "\x00", "\ufeff", "<p>", "<", "&amp;", "&", "(", " ", ")", "Ã", "©", "{:", "}", "é", "x"]
)


@given(parts=st.lists(PARTS, max_size=40))
def test_any_mixture_of_remnants(parts: list[str]) -> None:
    text = "".join(parts)
    once = clean_text(text)
    assert not set(once) & set("\x00\ufeff") and "\n\n\n" not in once
    assert len(once) <= len(text) and once == once.strip()
    if "{:" not in text and "\n" not in text:  # an attribute goes with what it holds, a repeated line as a whole
        assert once.count("x") == text.count("x"), "letters stay"


def test_shares() -> None:
    assert repeated_share("a\nb\n\na\na") == 0.5
    assert repeated_share("") == 0
    assert broken_share("caf\ufffd") == 0.25
    assert broken_share("café 中文") == broken_share("") == broken_share("plain") == 0
