"""Sentences of a prompt as the copy constraint sees them, and pieces back as spans."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.copy_source import copy_sentences, piece_span
from qdts.models.decoding.copying import CopySentence, Piece
from qdts.models.document import Document
from qdts.models.prompt import Prompt, PromptBuilder
from qdts.models.text.words import word_starts
from qdts.models.tokenizer import marker

TEXTS = st.lists(
    st.sampled_from("the engine|, |; |. | |\n|，|。|中文|กรุง|3,500|–|a|😀|\u200b|) |x".split("|") + ["y" * 70]),
    max_size=60,
).map("".join)


def prompt_of(builder: PromptBuilder, text: str) -> Prompt:
    return builder.build("the engine", Document(text=text), max_words=35)


def read(builder: PromptBuilder, text: str) -> tuple[Prompt, list[CopySentence]]:
    prompt = prompt_of(builder, text)
    return prompt, copy_sentences(prompt.sentences)


def clauses(builder: PromptBuilder, text: str) -> list[str]:
    """The text cut at every place where a piece may end."""
    prompt, sentences = read(builder, text)
    assert len(sentences) == 1
    ends = [0, *(int(t) + 1 for t in np.flatnonzero(sentences[0].clause_ends))]
    spans = [piece_span(Piece(0, b, e), prompt.sentences) for b, e in zip(ends, ends[1:], strict=False)]
    return [span.of(text) for span in spans]


@pytest.mark.parametrize(
    "expected",
    [
        ["It weighed nine tonnes,", "which is a lot;", "it pulled six (or seven)", "coaches."],
        ["It cost 3,500 at 10:30,", "they say."],
        ["كانت تقود القطار،", "كل يوم"],
        ["No mark at all"],
    ],
)
def test_clauses_end_at_marks_before_white_space(builder: PromptBuilder, expected: list[str]) -> None:
    assert clauses(builder, " ".join(expected)) == expected


def test_clauses_of_scripts_without_spaces_end_at_their_marks(builder: PromptBuilder) -> None:
    """Each of these characters is several tokens here: a clause ends after the last of them."""
    assert clauses(builder, "天地玄黄，宇宙洪荒、日月。") == ["天地玄黄，", "宇宙洪荒、", "日月。"]


def test_words_are_counted_before_each_token(builder: PromptBuilder) -> None:
    prompt, [sentence] = read(builder, "The engine  was\nbuilt 天地.")
    assert sentence.words_before[0] == 0
    assert sentence.words_before[-1] == 4 + 2 + 1
    assert len(sentence.words_before) == len(sentence.ids) + 1
    starts = prompt.sentences[0].starts.tolist()
    assert sentence.words_before[starts.index(4)] == 1, "one word before the token that begins at 4"


def test_markers_number_the_sentences(builder: PromptBuilder, prose: str) -> None:
    _, sentences = read(builder, prose)
    assert [sentence.marker for sentence in sentences] == [marker(i) for i in range(len(sentences))]
    assert len(sentences) > 3


@given(text=TEXTS.filter(lambda text: text.strip() != ""))
def test_no_piece_holds_more_words_than_were_counted(builder: PromptBuilder, text: str) -> None:
    prompt, sentences = read(builder, text)
    for index, sentence in enumerate(sentences):
        assert sentence.clause_ends[-1]
        assert (np.diff(sentence.words_before) >= 0).all()
        for begin in sentence.begins():
            for end in range(begin + 1, len(sentence.ids) + 1, 3):
                piece = piece_span(Piece(index, begin, end), prompt.sentences).of(text)
                assert piece == piece.strip()
                assert len(word_starts(piece)) <= sentence.words_before[end] - sentence.words_before[begin]


@given(text=TEXTS.filter(lambda text: text.strip() != ""))
def test_a_whole_sentence_is_its_span(builder: PromptBuilder, text: str) -> None:
    prompt, sentences = read(builder, text)
    for index, (source, sentence) in enumerate(zip(prompt.sentences, sentences, strict=True)):
        span = piece_span(Piece(index, 0, len(sentence.ids)), prompt.sentences)
        assert span == source.span or len(sentence.ids) == 160
        assert sentence.words_before[-1] == len(word_starts(span.of(text)))
