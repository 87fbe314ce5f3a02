"""Pieces of a document are judged by where they stand in it, others by how they look."""

import pytest

from qdts.models.evaluation.samples import load_row_file
from qdts.models.text.extractive import quote
from qdts.models.text.sentences import split_sentences
from qdts.models.training.wholeness import CLAUSE, DANGLING_FACTOR, Wholeness, dangles

DOCUMENT = (
    "Engines\n\nThe engine was built in Derby, which is a town, in 1902. It weighed nine\ntonnes. Dr. Hill drove it."
)


@pytest.mark.parametrize(
    ("piece", "begins", "ends"),
    [
        ("The engine was built in Derby, which is a town, in 1902.", 1, 1),
        ("It weighed nine tonnes.", 1, 1),
        ("Engines", 1, 1),
        ("It weighed nine tonnes. Dr. Hill drove it.", 1, 1),
        ("The engine was built in Derby,", 1, CLAUSE),
        ("which is a town, in 1902.", CLAUSE, 1),
        ("which is a town,", CLAUSE, CLAUSE),
        ("The engine was built", 1, 0),
        ("Derby, which is a town, in 1902.", 0, 1),
        ("was built", 0, 0),
        # Not in the document: how it looks.
        ("A man from Leeds built it.", 1, 1),
        ("A man from Leeds said: “Built.”", 1, 1),
        ("a man from Leeds built it", 0, 0),
        ("A man from Leeds,", 1, CLAUSE),
    ],
)
def test_pieces_are_judged_by_how_they_begin_and_end(piece: str, begins: float, ends: float) -> None:
    assert Wholeness(DOCUMENT).score_piece(piece) == (begins + ends) / 2


def test_the_best_of_several_places_counts() -> None:
    assert Wholeness("We say so. They do as we say. So we say.").score_piece("So we say.") == 1


def test_every_sentence_of_real_documents_is_whole_and_no_beheaded_one_is() -> None:
    for row in load_row_file()[::4]:
        document = Wholeness(row.document)
        for span in split_sentences(row.document):
            sentence = quote(span, row.document)
            assert document.score_piece(sentence) == 1
            beheaded = " ".join(sentence.split()[1:])
            assert len(beheaded.split()) < 6 or document.score_piece(beheaded) < 1


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("It was built in 1902.", True),
        ("They do.", True),
        ("Its engine was small.", True),
        ("This is the reason.", True),
        ("This", True),
        ("This engine was small.", False),
        ("Italy is a country.", False),
        ("The engine is in it.", False),
        ("", False),
        ("...", False),
    ],
)
def test_a_pronoun_that_names_nobody_dangles(sentence: str, expected: bool) -> None:
    assert dangles(sentence) is expected


def test_only_the_first_sentence_can_dangle() -> None:
    document = Wholeness(DOCUMENT)
    assert document.score(("It weighed nine tonnes.",)) == DANGLING_FACTOR
    assert document.score(("The engine was built in Derby, which is a town, in 1902.", "It weighed nine tonnes.")) == 1
    assert document.score(()) == 0


@pytest.mark.parametrize("document", ["", " \n", "word", "、、、", "\u202e", "a" * 2000])
def test_odd_documents_are_no_trouble(document: str) -> None:
    for piece in ("", " ", ".", "word", "aa", document):
        assert 0 <= Wholeness(document).score((piece,)) <= 1
