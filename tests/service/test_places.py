"""How long a new job would wait."""

import pytest

from qdts.service.admission_config import AdmissionConfig
from qdts.service.places import CAUTION, GUESS_S, Places
from qdts.service.request import Priority

INTERACTIVE, PREFETCH, BULK = Priority


def wait_s(places: Places, priority: Priority = INTERACTIVE, *, running: int, **queued: int) -> float:
    counts = {each: queued.get(each.name.lower(), 0) for each in Priority}
    return places.wait_s(priority, num_queued=counts, num_running=running) / (1 + CAUTION)


@pytest.fixture(name="places")
def _places() -> Places:
    """Four places, each taken for 0.4 s: one comes free every 0.1 s."""
    places = Places(4, AdmissionConfig(prefetch_share=0.2, bulk_share=0.1))
    for _ in range(100):
        places.came_free(0.4)
    return places


def test_with_a_place_free_there_is_no_wait(places: Places) -> None:
    assert wait_s(places, running=3) == 0
    with places.expecting(INTERACTIVE):
        assert wait_s(places, running=2) == 0
        assert wait_s(places, running=3) == pytest.approx(0.1)


def test_one_place_must_come_free_for_each_before(places: Places) -> None:
    assert wait_s(places, running=4) == pytest.approx(0.1)
    assert wait_s(places, running=4, interactive=9) == pytest.approx(1.0)


def test_lower_classes_delay_higher_ones_by_their_shares_only(places: Places) -> None:
    assert wait_s(places, running=4, bulk=50) == pytest.approx(0.1)
    assert wait_s(places, running=4, interactive=9, bulk=50) == pytest.approx(1.1)
    assert wait_s(places, running=4, interactive=7, prefetch=50, bulk=50) == pytest.approx(1.1)
    assert wait_s(places, running=4, interactive=9, bulk=1) <= 1.1, "and never by more than they are"


def test_higher_classes_come_before_lower_ones(places: Places) -> None:
    assert wait_s(places, BULK, running=4, interactive=9, prefetch=5, bulk=5) == pytest.approx(2.0)


def test_before_anything_is_known_it_is_guessed() -> None:
    assert wait_s(Places(1, AdmissionConfig()), running=1) == pytest.approx(GUESS_S)


def test_what_another_process_counts_is_taken_over(places: Places) -> None:
    places.told(num_places=2, taken_s=1.0)
    assert places.num_places == 2 and places.taken_s == 1.0
    assert wait_s(places, running=2) == pytest.approx(0.5)
    places.told(num_places=2, taken_s=None)
    assert wait_s(places, running=2) == pytest.approx(GUESS_S / 2)
