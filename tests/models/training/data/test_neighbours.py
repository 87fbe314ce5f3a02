"""Close documents that do not answer, under the row's own licence."""

from collections.abc import Callable

import pytest

from qdts.models.training.data.neighbours import Neighbours, says
from qdts.models.training.data.rows import TrainRow

CLOSE = "The second engine pulled nine coaches to Hull and was sold in 1950. Nobody worked on Sundays."
FAR = "Bread is made of flour and water, and it is baked for an hour in a hot oven."


def found(row: TrainRow, *others: TrainRow) -> list[str]:
    return [other.document for other in Neighbours([row, *others]).of(row, 4)]


def test_the_closest_come_first(make_row: Callable[..., TrainRow]) -> None:
    row = make_row(query="Who drove the engine at night?")
    closer = "The engine stood in York at night. It was red."
    assert found(row, make_row(document=FAR), make_row(document=CLOSE), make_row(document=closer)) == [closer, CLOSE]


@pytest.mark.parametrize(
    "document",
    [
        "Mary Hill was the engine's owner.",
        "The engine's driver later trained the night mail's crew.",
        "Somebody drove the engine and nobody knows who it was.",
    ],
    ids=["holds the answer", "says what the reference says", "holds every word of the query"],
)
def test_what_might_answer_is_left_out(make_row: Callable[..., TrainRow], document: str) -> None:
    assert found(make_row(), make_row(document=document)) == []


def test_only_documents_of_the_same_source_and_licence(make_row: Callable[..., TrainRow]) -> None:
    assert found(make_row(), make_row(document=CLOSE)) == [CLOSE]
    assert found(make_row(), make_row(document=CLOSE, licence="MIT")) == []
    assert found(make_row(), make_row(document=CLOSE, source="others")) == []


def test_short_lines_of_other_documents(make_row: Callable[..., TrainRow]) -> None:
    menu = make_row(document=f"About us\n\nContact\n\nTimes of trains\n\nMary Hill trained crew\n\n{CLOSE}")
    lines = Neighbours([make_row(), menu]).short_lines(make_row(), 10)
    assert lines == ["About us", "Times of trains", "Nobody worked on Sundays."]
    assert Neighbours([make_row(), menu]).short_lines(make_row(), 1) == ["About us"]


def test_says() -> None:
    assert says("One. The mill was built by monks.", "Monks built a mill.")
    assert says("The mill was built by monks.", "Nobody came. Monks built a mill.")
    assert not says("The mill was sold.", "Monks built a mill here in 1300.")
    assert not says("", "Monks built a mill.") and not says("The mill.", "")
