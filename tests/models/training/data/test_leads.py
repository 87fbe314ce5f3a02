"""The first sentence is recognised as the answer, and rows it answers are kept to their share."""

import random
from collections.abc import Callable

import pytest

from qdts.models.training.data.leads import is_lead, limit_leads
from qdts.models.training.data.rows import TrainRow

LEAD = "The engine was built in Derby in 1902."


@pytest.mark.parametrize(
    ("reference", "leads"),
    [
        (LEAD, True),
        (f"{LEAD} It weighed nine tonnes and pulled six coaches.", True),
        ("An engine built in Derby.", True),
        ("It weighed nine tonnes and pulled six coaches.", False),
        ("Mary Hill drove the engine.", False),
        ("", False),
    ],
)
def test_is_lead(make_row: Callable[..., TrainRow], reference: str, leads: bool) -> None:
    assert is_lead(make_row(reference=reference)) == leads


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize(("num_leads", "num_others"), [(50, 50), (90, 10), (3, 1), (1, 0), (0, 4)])
def test_leads_keep_their_share(
    make_row: Callable[..., TrainRow], share: float, num_leads: int, num_others: int
) -> None:
    rows = [make_row(reference=LEAD, id=f"lead{i}") for i in range(num_leads)]
    rows += [make_row(id=f"other{i}") for i in range(num_others)]
    random.Random(0).shuffle(rows)
    kept = limit_leads(rows, share, random.Random(1))
    assert sum(map(is_lead, kept)) <= share * len(kept)
    assert sum(not is_lead(row) for row in kept) == num_others
    assert [row for row in rows if row in kept] == kept


def test_no_limit_keeps_all(make_row: Callable[..., TrainRow]) -> None:
    rows = [make_row(reference=LEAD)] * 5
    assert limit_leads(rows, 1.0, random.Random(0)) == rows
