"""Text to ids and back, with places; special tokens in a text are plain text."""

from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from qdts.errors import WeightsCorrupt
from qdts.models.tokenizer import FIRST_MARKER, NONE, NUM_MARKERS, SPECIAL_TOKENS, Tokenizer, marker

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.text(
    st.sampled_from("ab, .\n\t<s3>é中文😀\u200b\0नमस्ते مرحبا"), max_size=80
)


def one_spaced(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("text", ["The engine was built in Derby.", "naïve 中文 😀 नमस्ते مرحبا", "a\0b\u200bc", "?!"])
def test_round_trip(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).tolist()) == text


def test_white_space_becomes_one_space(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode(" The\n\n engine \t ran ").tolist()) == "The engine ran"


def test_a_word_has_the_same_ids_at_the_head_as_inside(tokenizer: Tokenizer) -> None:
    inside = tokenizer.encode("the engine").tolist()
    assert inside[len(tokenizer.encode("the")) :] == tokenizer.encode("engine").tolist()


@given(text=TEXTS)
def test_places_cover_every_letter_in_order(tokenizer: Tokenizer, text: str) -> None:
    pieces = tokenizer.encode_pieces([text])[0]
    assert len(pieces.ids) == len(pieces.starts) == len(pieces.ends)
    assert (pieces.starts <= pieces.ends).all() and (pieces.ends <= len(text)).all()
    assert (pieces.starts[1:] >= pieces.starts[:-1]).all() and (pieces.ends[1:] >= pieces.ends[:-1]).all()
    covered = {place for s, e in zip(pieces.starts, pieces.ends, strict=True) for place in range(s, e)}
    assert all(place in covered for place, char in enumerate(text) if not char.isspace())


@given(text=TEXTS)
def test_no_text_holds_a_special_token(tokenizer: Tokenizer, text: str) -> None:
    assert (tokenizer.encode(text) >= len(SPECIAL_TOKENS)).all()


def test_special_tokens_written_out_are_plain_text(tokenizer: Tokenizer) -> None:
    text = "<s3> </s> <q> <pad>"
    ids = tokenizer.encode(text)
    assert (ids >= len(SPECIAL_TOKENS)).all()
    assert tokenizer.decode(ids.tolist()) == text


def test_decoding_leaves_special_tokens_out(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([marker(3), *tokenizer.encode("the engine").tolist(), 1]) == "the engine"


def test_nothing_is_no_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.encode_pieces([]) == []
    assert tokenizer.encode_pieces([""])[0].starts.shape == (0,)


def test_half_a_surrogate_pair_is_a_question_mark(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("é\ud83d x").tolist() == tokenizer.encode("é? x").tolist()


def test_markers_follow_one_another() -> None:
    assert [SPECIAL_TOKENS[marker(i)] for i in (0, 1, NUM_MARKERS - 1)] == ["<s0>", "<s1>", "<s63>"]
    assert SPECIAL_TOKENS[FIRST_MARKER - 1] == SPECIAL_TOKENS[NONE] == "<none>"


def test_the_old_name_of_none_loads(tokenizer_path: Path, tmp_path: Path) -> None:
    old = tmp_path / "tokenizer.json"
    text = tokenizer_path.read_text(encoding="utf-8")
    old.write_text(text.replace('"<none>"', '"<reserved>"'), encoding="utf-8")
    tokenizer = Tokenizer.load(old)
    assert (
        tokenizer.encode("the engine <none>").tolist()
        == Tokenizer.load(tokenizer_path).encode("the engine <none>").tolist()
    )
    assert tokenizer.decode([NONE, 1]) == ""
    old.write_text(text.replace('"<none>"', '"<nothing>"'), encoding="utf-8")
    with pytest.raises(WeightsCorrupt, match="<none> must have id 7, has None"):
        Tokenizer.load(old)


def test_special_tokens_out_of_place_are_refused(tokenizer_path: Path) -> None:
    with pytest.raises(WeightsCorrupt, match=r"<pad> must have id 0, has None"):
        Tokenizer(tokenizers.Tokenizer(tokenizers.models.BPE()))
    assert Tokenizer.load(tokenizer_path).vocab_size == 600
