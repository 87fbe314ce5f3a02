"""What is trained is what is decoded: every target is a walk the copy constraint allows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.copy_source import copy_sentences
from qdts.models.decoding.copying import CopyState
from qdts.models.document import Document
from qdts.models.prompt import PromptBuilder
from qdts.models.tokenizer import DOCUMENT, END, QUERY, TITLE, Tokenizer, marker
from qdts.models.training.data.rows import TrainRow
from qdts.models.training.examples import Example, find_span, make_example

DOCUMENT_TEXT = (
    "The engine was built in Derby. It weighed nine tonnes, pulled six coaches, "
    "and ran between Leeds and York. "
    "Its driver was Mary Hill. In winter, when snow lay on the line, "
    "a second engine was sent ahead of the train."
)
QUERY_TEXT = "what pulled the coaches?"


def example(builder: PromptBuilder, reference: str, text: str = DOCUMENT_TEXT) -> Example | None:
    return make_example(builder, QUERY_TEXT, Document(text=text), reference)


def target_text(builder: PromptBuilder, tokenizer: Tokenizer, reference: str) -> list[str]:
    """The target's pieces as text."""
    made = example(builder, reference)
    assert made is not None and made.target[-1] == END
    ids = made.target[:-1].astype(np.int64)
    starts = np.flatnonzero(ids < 72)
    return [tokenizer.decode(piece.tolist()) for piece in np.split(ids, starts)[1:]]


def check_grammar(builder: PromptBuilder, made: Example, query: str, document: Document) -> None:
    prompt = builder.build(query, document, max_words=64)
    state = CopyState(copy_sentences(prompt.sentences), END, max_words=1_000, trims=True)
    for token in made.target.tolist():
        assert not state.finished
        assert token in state.allowed(), f"{token} is not among {state.allowed()}"
        state.advance(token)
    assert state.finished
    assert made.encoder_ids.tolist() == prompt.encoder_ids.tolist()
    assert made.prefix.tolist() == prompt.prefix.tolist()


def test_a_whole_sentence_is_its_own_target(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    reference = "Its driver was Mary Hill."
    assert target_text(builder, tokenizer, reference) == [reference]
    made = example(builder, reference)
    assert made is not None and made.target[0] == marker(2)


def test_white_space_in_the_reference_does_not_matter(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    assert target_text(builder, tokenizer, "Its  driver\nwas Mary Hill.") == ["Its driver was Mary Hill."]


def test_a_part_grows_to_the_nearest_clause(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    assert target_text(builder, tokenizer, "a second engine was sent ahead") == [
        "a second engine was sent ahead of the train."
    ]
    assert target_text(builder, tokenizer, "six coaches") == ["pulled six coaches, and ran between Leeds and York."], (
        "a clause of three words says too little"
    )


def test_a_reference_across_sentences_is_several_pieces(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    assert target_text(builder, tokenizer, "The engine was built in Derby. It weighed nine tonnes, pulled six") == [
        "The engine was built in Derby.",
        "It weighed nine tonnes, pulled six coaches,",
    ]


def test_an_abstractive_reference_is_the_sentences_it_overlaps(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    assert target_text(builder, tokenizer, "Mary Hill was the driver.") == ["Its driver was Mary Hill."]


@pytest.mark.parametrize("reference", ["", "   ", "zebras eat grass"])
def test_a_reference_the_document_does_not_hold_makes_none(builder: PromptBuilder, reference: str) -> None:
    assert example(builder, reference) is None


def test_the_head_is_the_mark_and_the_query(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    for title in ("", "Engines"):
        made = make_example(builder, QUERY_TEXT, Document(text=DOCUMENT_TEXT, title=title), "Its driver was Mary Hill.")
        assert made is not None
        assert made.encoder_ids[: made.head_len].tolist() == [QUERY, *tokenizer.encode(QUERY_TEXT).tolist()]
        assert made.encoder_ids[made.head_len] == (TITLE if title else DOCUMENT)
        assert len(made.features) == len(made.encoder_ids)


def test_rows_become_examples_of_the_grammar(
    builder: PromptBuilder, rows: list[TrainRow], examples: list[Example]
) -> None:
    assert len(examples) == len(rows)
    for row, made in zip(rows, examples, strict=True):
        check_grammar(builder, made, row.query, Document(text=row.document, title=row.title))


PARTS = st.sampled_from(
    ["the engine", "ran, ", "pulled six coaches ", "in Derby. ", ", ", "It ", "; ", "A\n", "中文，", "x "]
)


@given(parts=st.lists(PARTS, min_size=1, max_size=40), data=st.data())
def test_any_span_of_any_document_is_a_target_of_the_grammar(
    builder: PromptBuilder, parts: list[str], data: st.DataObject
) -> None:
    text = "".join(parts)
    start = data.draw(st.integers(0, len(text) - 1))
    reference = text[start : data.draw(st.integers(start + 1, len(text)))]
    made = example(builder, reference, text) if text.strip() else None
    if made is not None:
        check_grammar(builder, made, QUERY_TEXT, Document(text=text))


@pytest.mark.parametrize(
    ("text", "quoted", "expected"),
    [("a b  c", "b c", "b  c"), ("a b", "ab", "a b"), ("a b", "", None), ("a b", "c", None), ("", "a", None)],
)
def test_a_quotation_is_found_whatever_its_white_space(text: str, quoted: str, expected: str | None) -> None:
    found = find_span(text, quoted)
    assert (found and found.of(text)) == expected
