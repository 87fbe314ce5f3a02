"""Clauses found in text are exactly the pieces that the copy constraint can write."""

import pytest

from qdts.models.copy_source import copy_sentences, piece_span
from qdts.models.decoding.copying import CopySentence, Piece
from qdts.models.document import Document, Span
from qdts.models.evaluation.samples import load_row_file
from qdts.models.prompt import PromptBuilder
from qdts.models.text.sentences import split_sentences
from qdts.models.training.teachers.candidates import clause_spans, neighbourhoods


def writable(sentence: CopySentence) -> list[tuple[int, int]]:
    length = len(sentence.ids)
    return [
        (begin, end)
        for begin in sentence.begins()
        for end in range(begin + 1, length + 1)
        if sentence.may_end(begin, end)
    ]


def test_clauses_are_the_pieces_of_the_copy_constraint(builder: PromptBuilder) -> None:
    num_cut = 0
    for row in load_row_file()[::12]:
        prompt = builder.build(row.query, Document(text=row.document), max_words=64)
        sentences = copy_sentences(prompt.sentences)
        for index, (source, sentence) in enumerate(zip(prompt.sentences, sentences, strict=True)):
            if source.ends[-1] < source.span.end:
                continue  # a sentence too long to be read whole
            pieces = [Piece(index, begin, end) for begin, end in writable(sentence)]
            expected = {piece_span(piece, prompt.sentences) for piece in pieces}
            found = clause_spans(row.document, source.span)
            assert found[0] == source.span
            assert len(found) == len(set(found))
            assert set(found) == expected
            num_cut += len(found) > 1
    assert num_cut > 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Word.", {"Word."}),
        ("It cost 3,500 pounds when it was new.", {"It cost 3,500 pounds when it was new."}),
        (
            "The engine was built here, and it pulled six coaches.",
            {
                "The engine was built here, and it pulled six coaches.",
                "The engine was built here,",
                "and it pulled six coaches.",
            },
        ),
        ("However, it pulled six coaches.", {"However, it pulled six coaches."}),
        ("However, it pulled six red coaches.", {"However, it pulled six red coaches.", "it pulled six red coaches."}),
    ],
)
def test_clauses_by_hand(text: str, expected: set[str]) -> None:
    found = [span.of(f"Before. {text}") for span in clause_spans(f"Before. {text}", Span(8, 8 + len(text)))]
    assert found[0] == text
    assert {*found} == expected


def test_neighbourhoods_hold_a_best_sentence_each() -> None:
    text = "One a. Two b. Three c. Four d."
    sentences = split_sentences(text)
    assert len(sentences) == 4
    runs = [span.of(text) for span in neighbourhoods(sentences, [2, 0], 2)]
    assert runs == ["Three c.", "One a.", "Two b. Three c.", "Three c. Four d.", "One a. Two b."]
    assert len(neighbourhoods(sentences, range(4), 9)) == 10
    assert neighbourhoods([], [], 2) == []
