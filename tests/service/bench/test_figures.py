"""Goodput, percentiles and counts against what is computed by hand."""

from collections.abc import Callable

import pytest

from qdts.service.bench.figures import Latency, describe, percentile, recovery_s, within
from qdts.service.bench.outcome import Outcome

Make = Callable[..., Outcome]


@pytest.fixture
def kinds(outcome: Make) -> dict[str, Outcome]:
    return {
        "good": outcome(latency_ms=50),
        "good, from the cache": outcome(latency_ms=1, rung="cache", origin_rung="full"),
        "good, stale": outcome(latency_ms=1, rung="stale", origin_rung="full"),
        "good, by a lower rung": outcome(
            latency_ms=20, rung="lead", origin_rung="lead", degrade_reasons=("overloaded",)
        ),
        "answered too late by a little": outcome(latency_ms=103),
        "late": outcome(latency_ms=106),
        "expired": outcome(latency_ms=100, code="DEADLINE_EXCEEDED"),
        "rejected": outcome(latency_ms=2, code="RESOURCE_EXHAUSTED"),
        "cancelled": outcome(latency_ms=30, code="CANCELLED"),
        "failed": outcome(latency_ms=4, code="INTERNAL"),
        "unsent": outcome(latency_ms=0, code="UNSENT"),
    }


def test_percentiles_are_nearest_ranks() -> None:
    hundred = [float(value) for value in range(100, 0, -1)]
    assert [percentile(hundred, share) for share in (0.0, 0.5, 0.99, 0.999, 1.0)] == [1, 50, 99, 100, 100]
    assert percentile([], 0.5) is None
    assert Latency.of([0.004]) == Latency(p50_ms=4, p90_ms=4, p99_ms=4, p999_ms=4)


def test_each_outcome_counts_once_and_where_it_should(kinds: dict[str, Outcome]) -> None:
    figures = describe(list(kinds.values()), seconds=2)
    ends = (figures.unsent, figures.rejected, figures.cancelled, figures.failed, figures.expired, figures.answered)
    assert ends == (1, 1, 1, 1, 1, 6) and sum(ends) == figures.planned == len(kinds)
    assert figures.late == 1
    assert (figures.offered_qps, figures.goodput_qps, figures.model_goodput_qps) == (5.5, 2.0, 1.0)
    assert figures.full_goodput_qps == 1.0
    assert figures.attainment == 4 / 10, "whoever left waits for nothing; whoever was not sent does"
    assert figures.model_share == 2 / 4
    assert figures.rungs == {"full": 3, "cache": 1, "stale": 1, "lead": 1} and figures.reasons == {"overloaded": 1}
    assert figures.codes["OK"] == 6


def test_goodput_is_told_by_kind(outcome: Make) -> None:
    """In full, by the model, by anybody; what the cache holds counts as what it was."""
    rungs = {"full": "full", "shorter": "shorter", "passages": "passages", "lead": "lead", "stale": "full"}
    ends = [outcome(rung=rung, origin_rung=origin) for rung, origin in rungs.items()]
    ends += [outcome(rung="cache", origin_rung=origin) for origin in ("full", "shorter")]
    ends += [outcome(latency_ms=101)]
    figures = describe(ends, seconds=1)
    assert (figures.full_goodput_qps, figures.model_goodput_qps, figures.goodput_qps) == (2, 5, 7)


def test_an_expired_call_counts_as_over_its_slo_among_the_accepted(kinds: dict[str, Outcome]) -> None:
    figures = describe([kinds["good"], kinds["expired"], kinds["rejected"]], seconds=1)
    assert figures.accepted_p99_over_slo == pytest.approx(1.05)
    assert (figures.accepted.p50_ms, figures.accepted.p99_ms, figures.rejections.p99_ms) == (50, 105, 2)


def test_each_latency_is_held_against_its_own_deadline(outcome: Make, kinds: dict[str, Outcome]) -> None:
    slow_but_patient = outcome(latency_ms=900, deadline_s=1.0)
    assert describe([slow_but_patient, kinds["good"]], seconds=1).accepted_p99_over_slo == pytest.approx(0.9)


def test_latency_counts_from_the_intended_time(outcome: Make) -> None:
    late = outcome(planned_s=1.0, sent_s=1.08, latency_ms=90)
    figures = describe([late], seconds=1)
    assert (figures.accepted.p50_ms, figures.sending_lag_p99_ms) == (90, 80)
    assert not figures.is_reliable


def test_what_was_never_sent_shows_in_the_lag(outcome: Make) -> None:
    punctual = [outcome(number) for number in range(50)]
    missed = outcome(50, planned_s=1.0, sent_s=3.0, code="UNSENT", latency_ms=2000)
    assert describe(punctual, seconds=1).is_reliable
    assert not describe([*punctual, missed], seconds=1).is_reliable


def test_nothing_at_all_has_figures_too() -> None:
    figures = describe([], seconds=1)
    assert (figures.planned, figures.attainment, figures.accepted.p99_ms) == (0, 1.0, None)


def test_recovery_is_the_last_accepted_call_that_was_not_in_time(outcome: Make) -> None:
    outcomes = [
        outcome(planned_s=1.0, latency_ms=500),
        outcome(planned_s=3.2, latency_ms=500),
        outcome(planned_s=3.4, code="RESOURCE_EXHAUSTED", latency_ms=1),
        outcome(planned_s=3.6),
    ]
    assert recovery_s(outcomes, 3.0) == pytest.approx(0.2)
    assert recovery_s(outcomes, 3.5) == 0.0
    assert [outcome.planned_s for outcome in within(outcomes, 1.0, 3.4)] == [1.0, 3.2]


def test_one_straggler_in_a_hundred_does_not_count_against_recovery(outcome: Make) -> None:
    punctual = [outcome(planned_s=n / 100) for n in range(198)]
    missed = [outcome(planned_s=at_s, latency_ms=500) for at_s in (0.3, 1.5)]
    assert recovery_s([*punctual, *missed], 0.0) == 0.0, "two in two hundred"
    assert recovery_s([*punctual[:97], *missed], 0.0) == pytest.approx(1.5)
    assert recovery_s([*punctual[:98], *missed], 0.0) == pytest.approx(0.3)
