"""A breaker by a clock of its own."""

from qdts.service.redis.breaker import Breaker, BreakerState


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Breaker, Clock, list[str]]:
    """One that has just opened."""
    clock, seen = Clock(), list[str]()
    breaker = Breaker(max_failures=3, open_s=1.0, on_change=lambda state: seen.append(state.name), clock=clock)
    for _ in range(3):
        breaker.failed()
    return breaker, clock, seen


def test_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(max_failures=3, open_s=1.0)
    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED and breaker.is_well
    breaker.failed()
    assert breaker.allows() and not breaker.is_well
    breaker.failed()
    breaker.failed()
    assert breaker.state is BreakerState.OPEN and not breaker.allows()


def test_one_probe_at_a_time_and_its_success_closes() -> None:
    breaker, clock, seen = opened()
    clock.now += 0.99
    assert not breaker.allows()
    clock.now += 0.01
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.allows() and breaker.is_well
    assert seen == ["OPEN", "HALF_OPEN", "CLOSED"]


def test_a_failed_probe_opens_for_as_long_again() -> None:
    breaker, clock, _ = opened()
    clock.now += 1.0
    assert breaker.allows()
    breaker.failed()
    clock.now += 0.5
    assert not breaker.allows()
    clock.now += 0.5
    assert breaker.allows()


def test_a_probe_without_an_outcome_is_followed_by_another() -> None:
    breaker, clock, seen = opened()
    clock.now += 1.0
    assert breaker.allows()
    clock.now += 1.0
    assert breaker.allows()
    assert seen == ["OPEN", "HALF_OPEN"]


def test_what_was_asked_before_it_opened_closes_nothing() -> None:
    breaker, _, seen = opened()
    breaker.succeeded()
    assert breaker.state is BreakerState.OPEN and seen == ["OPEN"]


def test_after_closing_failures_count_from_nothing() -> None:
    breaker, clock, _ = opened()
    clock.now += 1.0
    breaker.allows()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert breaker.state is BreakerState.CLOSED


def test_changes_are_told_once() -> None:
    breaker, _, seen = opened()
    breaker.failed()
    assert seen == ["OPEN"]
