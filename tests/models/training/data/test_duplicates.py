"""What repeats an earlier row goes, by document, by question and by reference; what only looks alike stays."""

from collections.abc import Callable
from typing import Any

import pytest

from qdts.models.training.data.config import DuplicateConfig
from qdts.models.training.data.duplicates import Duplicates, fingerprint
from qdts.models.training.data.rows import TrainRow

LONG = "The engine was built in Derby in 1902 and it ran between Leeds and York with six coaches behind it. " * 4


def reasons(rows: list[TrainRow], *, cap: int = 12, **config: Any) -> list[str]:
    duplicates = Duplicates(DuplicateConfig(**config))
    return [duplicates.reason(fingerprint(row), cap) for row in rows]


def unlike(number: int) -> str:
    return " ".join(f"word{number}x{i}" for i in range(60))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "repeated row"),
        ({"query": "who DROVE the engine", "document": LONG.upper()}, "repeated row"),
        ({"document": f"{LONG} And one more."}, "near-duplicate document, same question"),
        ({"document": unlike(1)}, ""),
        ({"query": "When was the engine built?"}, ""),
    ],
)
def test_a_second_row(make_row: Callable[..., TrainRow], changes: dict[str, Any], reason: str) -> None:
    first = make_row(document=LONG)
    assert reasons([first, make_row(**({"document": LONG} | changes))]) == ["", reason]


def test_a_specific_question_with_the_same_reference_is_the_same(make_row: Callable[..., TrainRow]) -> None:
    specific = "Which driver trained the night mail crew?"
    rows = [make_row(query=specific, document=unlike(i)) for i in range(2)]
    assert reasons(rows) == ["", "same question, same reference"]
    short = [make_row(query="the driver?", document=unlike(i)) for i in range(2)]
    assert reasons(short) == ["", ""]


def test_a_document_has_its_share_of_rows(make_row: Callable[..., TrainRow]) -> None:
    rows = [make_row(query=f"question number {i}", document=f"{LONG} {i}") for i in range(5)]
    assert reasons(rows, cap=3) == ["", "", "", "document has its share of rows", "document has its share of rows"]


def test_a_question_is_asked_so_often(make_row: Callable[..., TrainRow]) -> None:
    rows = [make_row(query="History?", document=unlike(i), reference=unlike(i)) for i in range(4)]
    assert reasons(rows, max_per_question=3) == ["", "", "", "question asked too often"]


def test_a_reference_of_many_documents_is_boilerplate(make_row: Callable[..., TrainRow]) -> None:
    rows = [make_row(query=f"About page {i}", document=unlike(i)) for i in range(4)]
    assert reasons(rows, max_per_reference=3) == ["", "", "", "reference of too many documents"]
    same_document = [make_row(query=f"About page {i}") for i in range(4)]
    assert reasons(same_document, max_per_reference=1) == [""] * 4


def test_what_is_dropped_leaves_no_trace(make_row: Callable[..., TrainRow]) -> None:
    rows = [make_row(), make_row(), make_row(query="When was it built?"), make_row(query="When was it closed?")]
    assert reasons(rows, cap=3) == ["", "repeated row", "", ""]
