"""A row to vary, and pages of prose with headings."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from qdts.models.training.data.pages import Page, parse_page
from qdts.models.training.data.rows import TrainRow

ROW = TrainRow(
    query="Who drove the engine?",
    title="Engines",
    document=(
        "The engine was built in Derby in 1902. It weighed nine tonnes and pulled six coaches. "
        "Its driver was Mary Hill, who later trained the crew of the night mail. The line closed in 1964."
    ),
    reference="Its driver was Mary Hill, who later trained the crew of the night mail.",
    source="engines",
    licence="CC0",
    kind="extractive-qa",
    answers=("Mary Hill",),
    id="engine-1",
)

PAGE_TEXT = """Night trains

A night train is a train that carries passengers while they sleep in berths or in seats. The first of them ran between
Leeds and London in 1838, and it took eleven hours for the whole journey.

History
In the early years the carriages were heated by bottles of hot water that boys carried from coach to coach. Oil
lamps hung from the roof, and a guard lit them one by one with a long pole at dusk. After 1890 steam from the engine
warmed the carriages, which the older passengers disliked.

Booking a berth
Passengers reserve a berth at the station or through an agent up to sixty days before the journey begins. Berths for
children cost half as much as those for adults on most of the lines.

See also
Other pages of this kind are listed in the index of railways, which is revised every year by volunteers.

Food and drink
Dinner is served in the dining car from seven until ten, and breakfast is brought to the berths at six. A menu of
four dishes changes with each season and is printed in the timetable.
"""


@pytest.fixture
def make_row() -> Callable[..., TrainRow]:
    def make(**changes: Any) -> TrainRow:
        return replace(ROW, **changes)

    return make


@pytest.fixture
def page_text() -> str:
    return PAGE_TEXT


@pytest.fixture
def page() -> Page:
    parsed = parse_page(PAGE_TEXT)
    assert parsed is not None
    return parsed
