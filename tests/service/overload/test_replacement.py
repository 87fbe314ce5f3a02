"""Another model in the stead of the one that answers, or the same after its engine died, under twice what it can do.

In virtual time, as test_overload.py. What was learned is carried over; without it the same runs lose answers.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from qdts.service.reply import DegradeReason, Rung

CHANGE_AT, SECONDS, AWAY_S = 4, 8, 0.5
Change = Callable[[Any], None]


@pytest.fixture(name="under_load")
def _under_load(simulate: Any) -> Callable[[Change], Any]:
    """A run at twice the capacity in which `change` is made at CHANGE_AT."""

    def run(change: Change) -> Any:
        async def offer(simulation: Any) -> None:
            asyncio.get_running_loop().call_later(CHANGE_AT, change, simulation)
            await simulation.offer(2, SECONDS)

        return simulate(offer)

    return run


def by_model(run: Any, begin: float, end: float) -> int:
    """Goodput: answers of the model, in time, to requests that came between the two."""
    return sum(outcome.is_by_model for outcome in run.outcomes if begin <= outcome.came_at < end)


def missed(run: Any, begin: float, end: float) -> int:
    late = [outcome for outcome in run.outcomes if begin <= outcome.came_at < end]
    return sum(DegradeReason.DEADLINE_MISSED in outcome.reasons for outcome in late)


def nothing(simulation: Any) -> None: ...


@pytest.fixture(name="put")
def _put(simulated_model: Any) -> Callable[..., Change]:
    """A change: put a model in place, with what was learned or without."""

    def put(*, carries: bool = True, version: str = "simulated@1", **model: Any) -> Change:
        def change(simulation: Any) -> None:
            fresh = simulated_model(clock=simulation.clock, version=version, **model)
            simulation.put(fresh, simulation.admission.learned if carries else None)

        return change

    return put


@pytest.mark.parametrize("version", ["simulated@0", "simulated@1"], ids=["the same model", "another"])
def test_a_swap_under_load_loses_nothing(under_load: Any, put: Any, version: str) -> None:
    still, swapped = under_load(nothing), under_load(put(version=version))
    for begin in (CHANGE_AT, CHANGE_AT + 1, CHANGE_AT + 2):
        assert by_model(swapped, begin, begin + 1) >= 0.95 * by_model(still, begin, begin + 1)
    assert all(outcome.is_good for outcome in swapped.outcomes), "none late, none refused"
    assert swapped.model.num_wasted == 0
    assert missed(swapped, CHANGE_AT, SECONDS) <= 0.02 * by_model(swapped, CHANGE_AT, SECONDS)


def test_what_was_learned_is_what_helps(under_load: Any, put: Any) -> None:
    """The same change without it: a model half as fast is given what it cannot do in time."""
    slower = {"read_s": 0.008, "step_s": 0.004, "row_s": 0.0005}
    with_it, without = (under_load(put(carries=carries, **slower)) for carries in (True, False))
    first = (CHANGE_AT, CHANGE_AT + 0.5)
    assert missed(with_it, *first) <= 2 < 8 < missed(without, *first)
    assert by_model(with_it, *first) >= 2 * by_model(without, *first)


def test_a_restart_under_load_goes_on_where_it_was(under_load: Any, put: Any) -> None:
    """The engine ends; for half a second everybody is answered without it; then the same model is there again."""

    def restart(simulation: Any) -> None:
        simulation.engine.die()
        asyncio.get_running_loop().call_later(AWAY_S, put(version="simulated@0"), simulation)

    still, restarted = under_load(nothing), under_load(restart)
    assert all(outcome.is_good for outcome in restarted.outcomes)
    back_at = CHANGE_AT + AWAY_S
    assert by_model(restarted, CHANGE_AT, back_at) == 0
    assert by_model(restarted, back_at, SECONDS) >= 0.95 * by_model(still, back_at, SECONDS)
    assert missed(restarted, back_at, SECONDS) <= 0.02 * by_model(restarted, back_at, SECONDS)


@pytest.mark.parametrize("slowness", [0.5, 2.0])
def test_a_model_of_another_pace_is_known_soon(under_load: Any, put: Any, slowness: float) -> None:
    """Slower: nobody is late, nothing is done in vain. Faster: what it can do is used within two seconds."""
    pace = {"read_s": 0.004 * slowness, "step_s": 0.002 * slowness, "row_s": 0.00025 * slowness}
    still, swapped = under_load(nothing), under_load(put(**pace))
    assert all(outcome.is_good for outcome in swapped.outcomes)
    assert swapped.model.num_wasted == 0
    afterwards = (CHANGE_AT + 2, SECONDS)
    assert by_model(swapped, *afterwards) >= 0.9 * min(1, 1 / slowness) * by_model(still, *afterwards)
    if slowness < 1:
        full = sum(outcome.rung is Rung.FULL for outcome in swapped.outcomes if outcome.came_at >= CHANGE_AT + 2)
        assert full > sum(outcome.rung is Rung.FULL for outcome in still.outcomes if outcome.came_at >= CHANGE_AT + 2)
