"""Negatives have no answer, joined documents keep theirs, and both keep their bounds and their origin."""

import random
from collections.abc import Callable

import pytest

from qdts.models.evaluation.samples import load_row_file
from qdts.models.evaluation.splits import normalise
from qdts.models.training.data.config import VariantConfig
from qdts.models.training.data.neighbours import Neighbours, says
from qdts.models.training.data.rows import TrainRow
from qdts.models.training.data.variants import cut_passage, derive, join_lines, join_passages, make_negative


@pytest.fixture(scope="module")
def sample() -> list[TrainRow]:
    return [
        TrainRow(
            query=row.query,
            title=row.title,
            document=row.document,
            reference=row.references[0],
            answers=row.answers,
            source=row.set,
            licence="CC",
            id=row.id,
        )
        for row in load_row_file()[::3]
    ]


def test_negatives_do_not_hold_the_answer(sample: list[TrainRow]) -> None:
    neighbours = Neighbours(sample)
    made = [(row, make_negative(row, neighbours, random.Random(0))) for row in sample]
    negatives = [(row, negative) for row, negative in made if negative is not None]
    assert len(negatives) > len(sample) / 2
    for row, negative in negatives:
        assert negative.is_negative and negative.query == row.query and negative.document != row.document
        assert (negative.source, negative.licence) == (row.source, row.licence)
        assert not says(negative.document, row.reference)
        text = normalise(negative.document)
        assert not any(normalise(answer) in text for answer in row.answers if len(answer) > 2)


def test_joined_documents_hold_their_own(sample: list[TrainRow]) -> None:
    rng = random.Random(0)
    neighbours = Neighbours(sample)
    places: set[bool] = set()
    for row in sample:
        joined = join_passages(row, neighbours.of(row, 12), rng, 900)
        assert row.document in joined.document and joined.reference == row.reference
        if joined is not row:
            titles = 12 * 24
            assert len(joined.document.split()) <= max(900, len(row.document.split())) + titles
            assert joined.title == "" and (row.title in joined.document)
            places.add(joined.document.endswith(row.document))
    assert places == {True, False}


def test_lines_stand_before_and_after(make_row: Callable[..., TrainRow]) -> None:
    lines = [f"Line number {i}" for i in range(20)]
    for seed in range(20):
        joined = join_lines(make_row(), lines, random.Random(seed))
        assert make_row().document in joined.document.split("\n\n")
        assert any(line in joined.document for line in lines)
    assert join_lines(make_row(), [], random.Random(0)) == make_row()


def test_shares(sample: list[TrainRow]) -> None:
    rows = list(derive(sample, random.Random(0), VariantConfig(negative_share=0.5, joined_share=0.0)))
    negatives = [row for row in rows if row.is_negative]
    assert [row for row in rows if not row.is_negative] == sample
    assert 0.2 < len(negatives) / len(sample) < 0.55
    joined = list(derive(sample, random.Random(0), VariantConfig(negative_share=0.0, joined_share=1.0)))
    assert len(joined) == len(sample)
    assert sum(row.id.endswith(":joined") for row in joined) > 0.5 * len(sample)
    nothing = VariantConfig(negative_share=0.0, joined_share=0.0)
    assert list(derive(sample, random.Random(0), nothing)) == sample


def test_negatives_stay_unanswered_when_joined(sample: list[TrainRow]) -> None:
    by_id = {row.id: row for row in sample}
    rows = derive(sample, random.Random(0), VariantConfig(negative_share=1.0, joined_share=1.0))
    for negative in (row for row in rows if row.is_negative):
        row = by_id[negative.id.split(":none")[0]]
        assert not says(negative.document, row.reference)


def test_passages_end_with_a_sentence() -> None:
    text = "One two three. Four five six. Seven eight nine."
    assert cut_passage(text, 7) == "One two three. Four five six."
    assert cut_passage(text, 100) == text
    assert cut_passage(text, 2) == "One two"
