"""What outlives a model: its costs by version, the rest as it is."""

import gc
import weakref

from qdts.service.admission_config import AdmissionConfig
from qdts.service.learned import MAX_TABLES, Learned
from qdts.service.reply import Rung
from qdts.service.request import Priority


def learned() -> Learned:
    return Learned.of_engine(AdmissionConfig(), num_places=2, max_queue=4)


def test_bounds_of_the_limit() -> None:
    assert learned().limit.limit == 6


def test_an_engine_of_another_size_has_bounds_of_its_own() -> None:
    ours = learned()
    ours.answers("a", num_places=8, capacity=40)
    assert ours.limit.limit == 40, "was open, and is"
    for _ in range(200):
        ours.limit.observe(1.0, tolerated_s=0.3, num_inside=40)
    assert ours.limit.limit == 9
    ours.answers("b", num_places=2, capacity=6)
    assert ours.limit.limit == 6
    ours.limit.observe(1.0, tolerated_s=0.3, num_inside=6)
    learned_limit = ours.limit.limit
    ours.answers("b", num_places=2, capacity=6)
    assert ours.limit.limit == learned_limit < 6, "of the same size: what was learned"


def test_a_model_that_comes_back_finds_its_own_times() -> None:
    ours = learned()
    first = ours.costs_of("a", None)
    first.observe(Rung.FULL, 100, 50.0)
    second = ours.costs_of("b", None)
    assert second is not first and second.predict_ms(Rung.FULL, 100) == first.predict_ms(Rung.FULL, 100)
    second.observe(Rung.FULL, 100, 500.0)
    assert ours.costs_of("a", None) is first
    assert (first.predict_ms(Rung.FULL, 100) or 0) < 100


def test_only_the_last_models_are_remembered() -> None:
    ours = learned()
    first = ours.costs_of("0", None)
    for number in range(1, MAX_TABLES + 1):
        ours.costs_of(str(number), None)
    assert ours.costs_of("0", None) is not first


def test_a_model_is_not_kept_for_its_table() -> None:
    class Model:
        def step_ms(self, batch: int) -> float:
            return 1.0

    model = Model()
    ours, seen = learned(), weakref.ref(model)
    ours.costs_of("a", model.step_ms)
    del model
    gc.collect()
    assert seen() is None


def test_beside_shares_costs_and_who_is_inside_but_no_load() -> None:
    ours = learned()
    other = ours.beside()
    other.inside[Priority.BULK] += 1
    assert ours.inside.total() == 1
    assert other.costs_of("a", None) is ours.costs_of("a", None)
    assert other.pressures is not ours.pressures and other.limit is not ours.limit


def test_another_model_is_not_held_to_what_was_tried_in_vain_before() -> None:
    """Load comes back each time a better rung is tried, so tries become rare; for another model they do not."""
    ours, now = learned(), 0.0
    pressure = ours.pressures[Priority.INTERACTIVE]

    def seconds_to_recover() -> float:
        nonlocal now
        began = now
        while pressure.level:
            now += 0.05
            pressure.observe(0.0, now_s=now)
        return now - began

    ours.answers("a", num_places=2, capacity=6)
    waits: list[float] = []
    for _ in range(3):
        while pressure.level < 1:
            now += 0.05
            pressure.observe(9.0, now_s=now)
        waits.append(seconds_to_recover())
    assert waits[-1] > 2 * waits[0]
    while pressure.level < 1:
        now += 0.05
        pressure.observe(9.0, now_s=now)
    ours.answers("a", num_places=2, capacity=6)
    held_back_s = pressure._held_back_s
    ours.answers("b", num_places=2, capacity=6)
    assert pressure._held_back_s < held_back_s
    assert seconds_to_recover() < 1.5 * waits[0]
