"""Every bar can be missed, and is named with what was measured."""

from typing import Any

import pytest

from qdts.loadtest.scenarios.bars import Bars, ServerBars, ServerFigures, cache_share
from qdts.loadtest.simulation.journal import StepFigures
from qdts.service.bench.figures import Figures, describe
from qdts.service.bench.outcome import Outcome

QUIET = {"health_p99_ms": 5.0, "health_bad": 0}


def figures(*ends: dict[str, Any]) -> Figures:
    """Of ten good answers by the model, and of others that are given by what differs."""
    alike = {"kind": "x", "planned_s": 0, "sent_s": 0, "ended_s": 0.05, "deadline_s": 0.1, "code": "OK"}
    alike |= {"rung": "full", "origin_rung": "full", "cache_status": "miss"}
    return describe([Outcome(number=n, **(alike | end)) for n, end in enumerate([*[{}] * 10, *ends])], seconds=1)


def test_good_answers_miss_nothing() -> None:
    bars = Bars(min_attainment=1, min_model_share=1, max_p99_over_slo=0.6, max_recovery_s=1)
    assert bars.missed(figures(), 0.5) == ()


@pytest.mark.parametrize(
    ("bars", "end", "problem"),
    [
        (Bars(min_attainment=0.95), {"code": "RESOURCE_EXHAUSTED", "rung": ""}, "attainment = 0.9091"),
        (Bars(min_model_share=0.95), {"rung": "lead", "origin_rung": "lead"}, "model_share = 0.9091"),
        (Bars(min_cache_share=0.5), {"cache_status": "hit"}, "cache_share = 0.09091"),
        (Bars(), {"ended_s": 0.104}, "accepted_p99_over_slo = 1.04"),
        (Bars(), {"code": "INTERNAL"}, "failed = 1"),
        (Bars(max_reject_p99_ms=5), {"code": "RESOURCE_EXHAUSTED", "ended_s": 0.006}, "reject_p99_ms = 6"),
        (Bars(min_rejected_share=0.1), {}, "rejected_share = 0"),
    ],
)
def test_each_bar_of_a_stream_can_be_missed(bars: Bars, end: dict[str, Any], problem: str) -> None:
    assert bars.missed(figures(end), 0.0) == (problem,)


def test_late_replies_and_slow_recovery_are_missed() -> None:
    assert "late = 1" in Bars().missed(figures({"ended_s": 0.2}), 0.0)
    assert Bars(max_recovery_s=1).missed(figures(), 1.0) == ("recovery_s = 1",)
    assert Bars().missed(figures(), 100.0) == ()


def test_shared_answers_cost_no_model_and_stale_ones_are_none() -> None:
    ends = [{"cache_status": status} for status in ("hit", "shared", "stale", "bypass")]
    assert cache_share(figures(*ends)) == 2 / 14
    assert cache_share(describe([], 1)) == 0


@pytest.mark.parametrize(
    ("bars", "seen", "wasted", "problem"),
    [
        (ServerBars(), {"health_p99_ms": 50.0}, 0, "health_p99_ms = 50"),
        (ServerBars(), {"health_bad": 1}, 0, "health_bad = 1"),
        (ServerBars(), {}, 2, "wasted_steps = 2"),
        (ServerBars(max_rung_changes=3), {"rung_changes": 4}, 0, "rung_changes = 4"),
        (ServerBars(min_rung_changes=2), {"rung_changes": 1}, 0, "rung_changes = 1"),
        (ServerBars(min_breaker_openings=1), {}, 0, "breaker_openings = 0"),
        (ServerBars(), {"open_breakers": 2}, 0, "open_breakers = 2"),
        (ServerBars(), {"refused_at_once": 0.98}, 0, "refused_at_once = 0.98"),
    ],
)
def test_each_bar_of_the_server_can_be_missed(
    bars: ServerBars, seen: dict[str, Any], wasted: int, problem: str
) -> None:
    steps = StepFigures(taken=10, wasted=wasted, unused=wasted)
    assert bars.missed(ServerFigures(**(QUIET | seen)), steps) == (problem,)


def test_a_quiet_server_misses_nothing() -> None:
    steps = StepFigures(taken=10, wasted=0, unused=1)
    bars = ServerBars(min_rung_changes=2, max_rung_changes=4, min_breaker_openings=1)
    assert bars.missed(ServerFigures(**QUIET, rung_changes=3, breaker_openings=1), steps) == ()
