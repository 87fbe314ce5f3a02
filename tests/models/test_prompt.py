"""What the net reads: the layout, token for token, and features beside the tokens they are about."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.document import Document
from qdts.models.interaction import NUM_TEXT_FEATURES
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import Mode, Prompt, PromptBuilder, PromptConfig
from qdts.models.text.words import stem
from qdts.models.tokenizer import (
    DOCUMENT,
    END,
    FIRST_MARKER,
    HINT,
    NUM_MARKERS,
    PAD,
    QUERY,
    TITLE,
    Tokenizer,
    marker,
)

TEXT = "The engine was built in Derby. It weighed nine tonnes. Its driver was Mary Hill."
SENTENCES = ["The engine was built in Derby.", "It weighed nine tonnes.", "Its driver was Mary Hill."]
ODD = {
    "Chinese": "天地玄黄，宇宙洪荒。" * 300,
    "emoji": "😀" * 3000,
    "zero-width": "\u200b" * 3000,
    "NUL": "\0",
    "right to left": "كانت تقود القطار. " * 300,
    "one letter": "x",
    "one long word": "x" * 100_000,
    "white space first": " " * 500_000 + "The engine.",
    "line breaks": "a\n" * 30_000,
    "half a surrogate pair": "The \ud83d engine.",
}


def build(
    builder: PromptBuilder,
    query: str = "Who was the driver?",
    text: str = TEXT,
    title: str = "",
    mode: Mode = "joint",
) -> Prompt:
    return builder.build(query, Document(text=text, title=title), max_words=35, mode=mode)


def is_marker(ids: np.ndarray) -> np.ndarray:
    return (ids >= FIRST_MARKER) & (ids < FIRST_MARKER + NUM_MARKERS)


def check(prompt: Prompt, config: PromptConfig) -> None:
    """What holds for any document."""
    ids = prompt.encoder_ids
    assert len(ids) <= config.max_input_tokens
    assert prompt.features.shape == (len(ids), NUM_TEXT_FEATURES)
    assert prompt.features.dtype == np.float32
    assert np.isfinite(prompt.features).all()
    assert 0 < prompt.coverage <= 1
    assert ids[is_marker(ids)].tolist() == [marker(i) for i in range(len(prompt.sentences))]
    laid_out = [token for i, s in enumerate(prompt.sentences) for token in (marker(i), *s.ids.tolist())]
    head_len = len(ids) - len(laid_out) - 1
    assert ids[head_len - 1] == DOCUMENT
    assert ids[head_len:].tolist() == [*laid_out, END]
    for source in prompt.sentences:
        assert len(source.ids) == len(source.starts) == len(source.ends) > 0
        assert source.span.start <= source.starts[0] and source.ends[-1] <= source.span.end


def test_the_layout_of_joint_mode(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    ids = {text: tokenizer.encode(text).tolist() for text in ("Who was the driver?", "Engines", *SENTENCES)}
    prompt = build(builder, title="Engines")
    assert prompt.encoder_ids.tolist() == [
        *(QUERY, *ids["Who was the driver?"]),
        *(TITLE, *ids["Engines"]),
        DOCUMENT,
        *(marker(0), *ids[SENTENCES[0]]),
        *(marker(1), *ids[SENTENCES[1]]),
        *(marker(2), *ids[SENTENCES[2]]),
        END,
    ]


def test_indexed_mode_leaves_the_query_out_of_the_encoder_alone(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    joint, indexed = build(builder, title="Engines"), build(builder, title="Engines", mode="indexed")
    query_len = 1 + len(tokenizer.encode("Who was the driver?"))
    assert indexed.encoder_ids.tolist() == joint.encoder_ids.tolist()[query_len:]
    assert (indexed.features == joint.features[query_len:]).all()
    assert (indexed.prefix == joint.prefix).all()


def test_without_a_title_its_mark_is_left_out(builder: PromptBuilder) -> None:
    assert TITLE not in build(builder).encoder_ids
    assert build(builder, mode="indexed").encoder_ids[0] == DOCUMENT


def test_the_prefix_holds_the_query_and_the_best_sentences(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    query = "driver was Mary Hill"
    prompt = build(builder, query)
    head = [PAD, QUERY, *tokenizer.encode(query).tolist(), HINT]
    assert prompt.prefix.tolist()[: len(head)] == head
    hints = prompt.prefix.tolist()[len(head) : -1]
    assert sorted(hints) == [marker(0), marker(1), marker(2)]
    assert hints[0] == marker(2), "the only sentence that holds the query's words"
    assert prompt.prefix[-1] == DOCUMENT


def test_features_stand_beside_their_tokens(builder: PromptBuilder, lexicon: Lexicon) -> None:
    prompt = build(builder)
    ids, features = prompt.encoder_ids, prompt.features
    assert (features[:, 9] == is_marker(ids)).all()
    first = int(np.flatnonzero(is_marker(ids))[0])
    assert not features[:first].any() and not features[-1].any(), "what is no sentence has none"
    place = first
    for index, source in enumerate(prompt.sentences):
        block = features[place : place + 1 + len(source.ids)]
        assert (block[:, :7] == block[0, :7]).all(), "a sentence's features stand on each of its tokens"
        assert block[0, 2] == (index == 2)
        for token, start, end, row in zip(source.ids, source.starts, source.ends, block[1:], strict=True):
            in_driver = TEXT.index("driver") <= start and end <= TEXT.index("driver") + len("driver")
            assert row[7] == (lexicon.idf[token] if in_driver else 0)
        place += len(block)


def test_a_word_matches_in_any_of_its_forms(builder: PromptBuilder) -> None:
    assert stem("drivers") == stem("driver")
    assert (build(builder, "Drivers").features[-5:, 0] == build(builder, "driver").features[-5:, 0]).all()


def test_sources_quote_the_document(builder: PromptBuilder, prose: str) -> None:
    prompt = build(builder, text=prose)
    for source in prompt.sentences:
        words = source.span.of(prose)
        assert words == words.strip()
        assert "".join(words.split()) == "".join(
            "".join(prose[s:e] for s, e in zip(source.starts, source.ends, strict=True)).split()
        )


def test_all_of_a_short_document_is_read(builder: PromptBuilder) -> None:
    assert build(builder, text=f"\n  {TEXT}\n\n").coverage == 1.0
    assert build(builder, text=TEXT.replace(" It", " \n\n It")).coverage == 1.0


def test_coverage_is_the_share_of_the_code_points_that_was_read(builder: PromptBuilder, prose: str) -> None:
    text = f"  {prose}\n" * 4
    prompt = build(builder, text=text)
    read = sum(int(source.ends[-1]) - source.span.start for source in prompt.sentences)
    assert prompt.coverage == pytest.approx(read / len("".join(text.split())), rel=0.25)
    assert 0.1 < prompt.coverage < 1


def test_a_document_is_scanned_to_its_bound(tokenizer: Tokenizer, lexicon: Lexicon) -> None:
    builder = PromptBuilder(tokenizer, lexicon, PromptConfig(max_scanned_chars=len(SENTENCES[0])))
    prompt = build(builder, text="   " + TEXT)
    assert [source.span.of("   " + TEXT) for source in prompt.sentences] == SENTENCES[:1]
    assert prompt.coverage == pytest.approx(len(SENTENCES[0]) / len(TEXT))


def test_the_best_sentence_is_read_wherever_it_stands(builder: PromptBuilder) -> None:
    text = "Snow lay on the line in winter. " * 200 + "The driver was Mary Hill. " + "Snow lay on the line. " * 200
    prompt = build(builder, text=text)
    assert any("Mary Hill" in source.span.of(text) for source in prompt.sentences)


def test_the_best_sentence_is_read_even_where_tokens_are_underestimated(builder: PromptBuilder) -> None:
    """A Chinese character is three tokens here: more sentences are chosen than fit."""
    text = "天地玄黄宇宙洪荒日月盈昃辰宿列张。" * 40 + "德比的司机。"
    prompt = build(builder, "司机", text=text)
    assert [source.span.start for source in prompt.sentences][0] == 0
    assert prompt.sentences[-1].span.of(text) == "德比的司机。"


def test_passages_only_reads_less(builder: PromptBuilder, prose: str) -> None:
    document = Document(text=prose * 3)
    full = builder.build("driver", document, max_words=35)
    passages = builder.build("driver", document, max_words=35, passages_only=True)
    assert len(passages.encoder_ids) < 0.6 * len(full.encoder_ids)
    assert passages.coverage < full.coverage


def test_long_queries_titles_and_sentences_are_cut(tokenizer: Tokenizer, lexicon: Lexicon) -> None:
    config = PromptConfig(max_query_tokens=5, max_title_tokens=4, max_sentence_tokens=6)
    prompt = build(PromptBuilder(tokenizer, lexicon, config), "x y z " * 50, title="a b c " * 50)
    ids = prompt.encoder_ids.tolist()
    assert ids.index(TITLE) == 1 + 5
    assert ids.index(DOCUMENT) == ids.index(TITLE) + 1 + 4
    assert max(len(source.ids) for source in prompt.sentences) == 6
    assert prompt.coverage < 1


@pytest.mark.parametrize("mode", ["joint", "indexed"])
@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_documents(builder: PromptBuilder, text: str, mode: Mode) -> None:
    check(build(builder, "天 the? 😀", text=text, mode=mode), PromptConfig())


@given(
    query=st.text(max_size=60),
    title=st.text(max_size=60),
    text=st.text(max_size=400).filter(lambda text: text.strip() != ""),
    passages_only=st.booleans(),
)
def test_any_document_can_be_read(
    builder: PromptBuilder, query: str, title: str, text: str, passages_only: bool
) -> None:
    prompt = builder.build(query, Document(text=text, title=title), max_words=35, passages_only=passages_only)
    check(prompt, PromptConfig())


def test_a_bound_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="must leave 64 for the document, is 100"):
        PromptConfig(max_input_tokens=100)


def test_hints_can_be_switched_off(tokenizer: Tokenizer, lexicon: Lexicon, prose: str) -> None:
    builder = PromptBuilder(tokenizer, lexicon, PromptConfig(num_hints=0))
    prompt = builder.build("When was the engine built?", Document(text=prose), max_words=35)
    assert prompt.prefix[-2:].tolist() == [HINT, DOCUMENT]
    with pytest.raises(ValueError, match=r"num_hints must lie in \[0, 64\], is -1"):
        PromptConfig(num_hints=-1)
