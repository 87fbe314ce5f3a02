"""Offered load from half of capacity to ten times it, in virtual time: what is answered, from where, and when.

The bars are those of docs/operations.md, section "Admission".
"""

import asyncio
import math
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from qdts.errors import Overloaded, QuotaExceeded
from qdts.service.quotas import QuotaConfig
from qdts.service.reply import DegradeReason, Rung
from qdts.service.request import Priority

BUDGET_S = 0.4
SECONDS = 4


def p99(values: Sequence[float]) -> float:
    return sorted(values)[math.floor(0.99 * len(values))]


def offered(load: Any, seconds: float = SECONDS, **ask: Any) -> Any:
    async def run(simulation: Any) -> None:
        await simulation.offer(load, seconds, **ask)

    return run


@pytest.fixture(name="at")
def _at(simulate: Any) -> Any:
    return lambda load: simulate(offered(load))


def test_goodput_holds_up_to_ten_times_capacity(at: Any) -> None:
    runs = {load: at(load) for load in (0.5, 1, 2, 5, 10)}
    by_model = {load: sum(outcome.is_by_model for outcome in run.outcomes) for load, run in runs.items()}
    for load, run in runs.items():
        outcomes = run.outcomes
        assert len(outcomes) == pytest.approx(load * run.capacity * SECONDS, rel=0.2)
        assert all(outcome.is_good for outcome in outcomes), "none late, none refused"
        assert p99([outcome.took_s for outcome in outcomes]) <= BUDGET_S
        assert run.model.num_wasted == 0
        assert load < 1 or by_model[load] >= 0.9 * by_model[1]
    assert sum(outcome.rung is Rung.FULL for outcome in runs[0.5].outcomes) >= 0.99 * len(runs[0.5].outcomes)


def test_every_reply_from_a_lower_rung_says_why(at: Any) -> None:
    for outcome in at(2).outcomes:
        assert (outcome.rung is Rung.FULL) == (not outcome.reasons)


def test_the_same_load_is_met_the_same_way(at: Any) -> None:
    first, second = ([(o.came_at, o.took_s, o.rung, o.reasons) for o in at(2).outcomes] for _ in range(2))
    assert first == second


def test_the_model_is_not_asked_in_vain(at: Any) -> None:
    """Once the costs are learned, what is let in is done in time."""
    late = [outcome for outcome in at(10).outcomes if outcome.came_at > 1]
    missed = sum(DegradeReason.DEADLINE_MISSED in outcome.reasons for outcome in late)
    assert missed <= 0.02 * sum(outcome.is_by_model for outcome in late)


def test_refusals_take_no_time(simulate: Any) -> None:
    run = simulate(offered(10, 3), max_requests=20)
    refused = [outcome for outcome in run.outcomes if outcome.error is not None]
    assert len(refused) > 100
    assert all(isinstance(outcome.error, Overloaded) and outcome.error.retry_after_s > 0 for outcome in refused)
    assert len({outcome.error.retry_after_s for outcome in refused}) > 50, "not all are told the same time"
    assert p99([outcome.took_s + outcome.real_s for outcome in refused]) < 0.005
    answered = [outcome for outcome in run.outcomes if outcome.error is None]
    assert all(outcome.is_good for outcome in answered)
    assert run.metrics.value("qdts_shed_total", priority="interactive", bound="requests") == len(refused)


def test_a_step_of_load_is_over_when_it_ends(simulate: Any) -> None:
    """0.8 -> 1.4 -> 0.8 times capacity: nobody is late for longer than a second; soon all is as before."""
    run = simulate(offered(lambda now: 1.4 if 4 <= now < 8 else 0.8, 16))
    failed = [outcome.came_at for outcome in run.outcomes if not outcome.is_good]
    assert all(4 <= at < 5 or 8 <= at < 9 for at in failed)
    afterwards = [outcome for outcome in run.outcomes if outcome.came_at >= 9]
    assert sum(outcome.is_by_model for outcome in afterwards) >= 0.95 * len(afterwards)
    in_the_end = [outcome for outcome in run.outcomes if outcome.came_at >= 12]
    assert sum(outcome.rung is Rung.FULL for outcome in in_the_end) >= 0.5 * len(in_the_end)


def test_a_storm_of_low_priority_leaves_interactive_requests_alone(simulate: Any) -> None:
    """Prefetch spikes twelvefold, to 3.6 times capacity, for a third of the time."""

    async def storm(simulation: Any) -> None:
        await asyncio.gather(
            simulation.offer(0.4, 12),
            simulation.offer(
                lambda now: 3.6 if 4 <= now < 8 else 0.3, 12, seed=2, priority=Priority.PREFETCH, budget_s=1.0
            ),
        )

    run = simulate(storm, max_requests=60)
    interactive, prefetch = run.of(Priority.INTERACTIVE), run.of(Priority.PREFETCH)
    assert sum(outcome.is_good for outcome in interactive) >= 0.994 * len(interactive)
    assert sum(outcome.is_by_model for outcome in interactive) >= 0.994 * len(interactive)
    spike = [outcome for outcome in prefetch if 4.5 <= outcome.came_at < 8]
    by_model = sum(outcome.is_by_model for outcome in spike) / len(spike)
    assert 0.02 < by_model < 0.6, "it is prefetch that gives way, and not all of it"


def test_nobody_starves_whatever_comes_above(simulate: Any) -> None:
    """Interactive requests for three times what there is; bulk ones with time still get their share of the model."""

    async def both(simulation: Any) -> None:
        await asyncio.gather(
            simulation.offer(3, 6), simulation.offer(0.5, 6, seed=2, priority=Priority.BULK, budget_s=10.0)
        )

    run = simulate(both)
    bulk = run.of(Priority.BULK)
    assert all(outcome.is_good for outcome in bulk)
    by_model = sum(outcome.is_by_model for outcome in bulk)
    assert by_model >= 0.8 * 0.05 * sum(outcome.is_by_model for outcome in run.outcomes)


def test_nothing_is_spent_on_those_who_left(simulate: Any) -> None:
    """One in three callers goes away, at any time; all places are free in the end."""
    random = Random(5)

    async def leave(simulation: Any) -> None:
        for _ in range(600):
            await asyncio.sleep(random.expovariate(2 * simulation.capacity))
            task = asyncio.create_task(simulation.ask())
            if random.random() < 0.33:
                asyncio.get_running_loop().call_later(0.3 * random.random(), task.cancel)
        await asyncio.sleep(1)

    run = simulate(leave)
    assert 350 < len(run.outcomes) < 600
    assert run.model.num_steps > 1000 and run.model.num_wasted == 0
    assert run.engine.num_inside == 0 and run.admission.learned.inside.total() == 0


def test_a_cancelled_request_frees_its_place_within_a_step(simulate: Any) -> None:
    async def leave(simulation: Any) -> None:
        tasks = [asyncio.create_task(simulation.ask(budget_s=10)) for _ in range(8)]
        await asyncio.sleep(0.06)
        assert simulation.engine.wait_s(Priority.INTERACTIVE) > 0
        tasks[3].cancel()
        await asyncio.sleep(simulation.model.step_ms(8) / 1000)
        assert simulation.engine.num_inside == 7
        assert simulation.engine.wait_s(Priority.INTERACTIVE) == 0
        await asyncio.gather(*tasks, return_exceptions=True)

    assert len(simulate(leave).outcomes) == 7


def test_rungs_do_not_flap(simulate: Any) -> None:
    """Load swings around capacity, twice: the best rung on offer changes a few times a swing."""
    run = simulate(offered(lambda now: 1 + 0.6 * math.sin(2 * math.pi * now / 15), 30))
    assert all(outcome.is_good for outcome in run.outcomes)
    changes = run.admission.learned.pressures[Priority.INTERACTIVE].num_changes
    assert 2 <= changes <= 12


def test_load_that_stays_is_not_probed_for_ever(simulate: Any) -> None:
    run = simulate(offered(1.4, 20))
    assert run.admission.learned.pressures[Priority.INTERACTIVE].num_changes <= 10


def test_no_rung_is_ever_cold(simulate: Any) -> None:
    run = simulate(offered(0.3, 30), canary_share=0.05)
    canaries = [outcome for outcome in run.outcomes if DegradeReason.CANARY in outcome.reasons]
    assert len(canaries) == pytest.approx(0.05 * len(run.outcomes), abs=3)
    assert {outcome.rung for outcome in canaries} == {Rung.SHORTER, Rung.PASSAGES, Rung.EXTRACTIVE, Rung.LEAD}


def test_a_model_that_becomes_slower_makes_nobody_late(simulate: Any) -> None:
    async def slow_down(simulation: Any) -> None:
        asyncio.get_running_loop().call_later(3, setattr, simulation.model, "slowness", 4.0)
        asyncio.get_running_loop().call_later(6, setattr, simulation.model, "slowness", 1.0)
        await simulation.offer(0.7, 12)

    run = simulate(slow_down)
    assert all(outcome.is_good for outcome in run.outcomes)
    assert run.model.num_wasted == 0
    in_the_end = [outcome for outcome in run.outcomes if outcome.came_at >= 9]
    assert sum(outcome.is_by_model for outcome in in_the_end) >= 0.9 * len(in_the_end)


def test_a_tenant_without_quota_left_is_refused_and_others_are_not(simulate: Any) -> None:
    """A request of 30 words and 26 tokens reserves 56 units and uses 130."""

    async def both(simulation: Any) -> None:
        await asyncio.gather(
            simulation.offer(0.4, 6, tenant="greedy"), simulation.offer(0.4, 6, seed=2, tenant="modest")
        )

    quotas = QuotaConfig(tenants="greedy=1300", burst_s=1.0)
    run = simulate(both, quotas=quotas)
    refused = [outcome for outcome in run.outcomes if outcome.error is not None]
    assert all(isinstance(outcome.error, QuotaExceeded) for outcome in refused)
    num_greedy = len(run.outcomes) / 2
    assert num_greedy - len(refused) == pytest.approx(10 * 6, rel=0.3), "ten a second"
    assert run.metrics.value("qdts_shed_total", priority="interactive", bound="quota") == len(refused)
