"""Windows keep their bounds, hold the answer, and favour no place for it."""

import random

import pytest

from qdts.models.training.data.config import WeakConfig
from qdts.models.training.data.pages import Page, parse_page
from qdts.models.training.data.windows import cut_window, window_text

CONFIG = WeakConfig()


@pytest.fixture(scope="module")
def long_page() -> Page:
    page = parse_page("T\n" + " ".join(f"Sentence number {i} has exactly ten words in all here." for i in range(200)))
    assert page is not None
    return page


def test_windows_hold_the_answer_within_bounds(long_page: Page) -> None:
    rng = random.Random(0)
    for _ in range(300):
        first = rng.randrange(199)
        window = cut_window(long_page, first, first + 1, rng, CONFIG)
        words = len(window_text(long_page, window).split())
        assert first in window and first + 1 in window
        assert words <= CONFIG.max_words
        assert words > CONFIG.min_words - 20 or window[0] == 0


def test_the_answer_stands_anywhere(long_page: Page) -> None:
    rng = random.Random(1)
    places: list[float] = []
    for _ in range(600):
        window = cut_window(long_page, 100, 100, rng, CONFIG)
        places.append((100 - window[0]) / (len(window) - 1))
    quarters = [sum(low <= place < low + 0.25 for place in places) for low in (0, 0.25, 0.5, 0.75)]
    assert min(quarters) > 90 and sum(place == 0 for place in places) < 60


def test_a_page_that_ends_soon_is_read_to_both_sides(page: Page) -> None:
    config = WeakConfig(min_words=400, max_words=480)
    window = cut_window(page, len(page.sentences) - 1, len(page.sentences) - 1, random.Random(0), config)
    assert window == range(len(page.sentences))


def test_a_heading_can_be_left_out(page: Page) -> None:
    heading = min(page.headings)
    whole = range(len(page.sentences))
    assert "History" in window_text(page, whole)
    left = window_text(page, whole, without=heading)
    assert "History" not in left and "In the early years" in left
    assert window_text(page, range(0, 1), without=heading) == window_text(page, range(0, 1))
