"""Each reason for which a row is dropped, on a row that is good but for it."""

from collections.abc import Callable
from typing import Any

import pytest

from qdts.models.training.data.config import CleanConfig
from qdts.models.training.data.filters import cleaned, unfit_reason
from qdts.models.training.data.rows import TrainRow

CONFIG = CleanConfig()
MANY_LINES = "\n".join(
    ["Home", "About us", "Home", "Contact", "Home", "About us", "Home", "The engine was built here."] * 2
)


def test_a_good_row_stays(make_row: Callable[..., TrainRow]) -> None:
    assert unfit_reason(make_row(), CONFIG) == ""
    assert cleaned(make_row()) == make_row()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"query": ""}, "query too short"),
        ({"query": "?!"}, "query without a word"),
        ({"query": "why " * 65}, "query too long"),
        ({"document": "Too short to ask."}, "document too short"),
        ({"document": "word " * 20_001}, "document too long"),
        ({"reference": "Mary Hill"}, "reference too short"),
        ({"reference": "word " * 121}, "reference too long"),
        (
            {"document": "The engine was b\ufffdilt in Derby, and it ran between Leeds and York for years."},
            "broken encoding",
        ),
        ({"document": MANY_LINES}, "repeated lines"),
        ({"reference": "Click here to see the engine."}, "boilerplate reference"),
        ({"reference": "This page has been archived by its owners."}, "boilerplate reference"),
        ({"reference": "For more information, see the engine's own page."}, "boilerplate reference"),
        ({"reference": "who drove the engine"}, "reference repeats the query"),
        ({"reference": "Its driver was Mary Mill, who later trained others."}, "reference not in the document"),
        (
            {
                "document": "It is red and fast. The train is new to the line. It is red and fast. So are others.",
                "reference": "It is red and fast.",
            },
            "short reference in several places",
        ),
    ],
)
def test_bad_rows(make_row: Callable[..., TrainRow], changes: dict[str, Any], reason: str) -> None:
    assert unfit_reason(make_row(**changes), CONFIG) == reason


def test_an_abstract_need_not_stand_in_the_document(make_row: Callable[..., TrainRow]) -> None:
    row = make_row(reference="Mary Hill, a driver, taught the mail crew.", kind="query-summary")
    assert unfit_reason(row, CONFIG) == ""


def test_document_and_reference_are_cleaned_alike(make_row: Callable[..., TrainRow]) -> None:
    dirty = make_row(
        document="It was <b>loud</b>. Maryâ€™s engine ran&nbsp;well on the line to York, and it was sold in 1964. ",
        reference="Maryâ€™s engine ran&nbsp;well on the line to York, and it was sold in 1964.",
        answers=("Mary\x00",),
        title=" The\n line ",
    )
    row = cleaned(dirty)
    assert row.reference in row.document and "Mary’s engine ran well" in row.document
    assert (row.answers, row.title) == (("Mary",), "The line")
    assert unfit_reason(row, CONFIG) == ""
