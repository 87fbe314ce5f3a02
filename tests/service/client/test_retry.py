"""Retries: how many, how soon, and when not at all. Time and chance are given, not taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.errors import ConfigError
from qdts.service.client.retry import Attempts, Failure, Pushback, RetryBudget, RetryPolicy

AWAY = Failure(is_transient=True)


class FakeClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make_attempts(policy: RetryPolicy | None = None, *, timeout_s: float = 1.0) -> tuple[Attempts, FakeClock]:
    """Attempts whose backoff is always the longest allowed."""
    clock, policy = FakeClock(), policy or RetryPolicy()
    budget = RetryBudget(policy)
    return Attempts(policy, budget, timeout_s=timeout_s, clock=clock, uniform=lambda low, high: high), clock


def test_backs_off_twice_and_gives_up_after_three_attempts() -> None:
    attempts, _ = make_attempts()
    assert [attempts.wait_after(AWAY) for _ in range(3)] == [0.01, 0.02, None]


def test_backoff_has_a_ceiling() -> None:
    attempts, _ = make_attempts(RetryPolicy(max_attempts=8, max_backoff_s=0.05))
    assert [attempts.wait_after(AWAY) for _ in range(4)] == [0.01, 0.02, 0.04, 0.05]


def test_a_failure_that_is_not_transient_is_final() -> None:
    attempts, _ = make_attempts()
    assert attempts.wait_after(Failure(is_transient=False)) is None


def test_pushback_replaces_the_backoff() -> None:
    attempts, _ = make_attempts()
    assert attempts.wait_after(Failure(is_transient=False, pushback=Pushback(delay_s=0.3))) == 0.3


def test_pushback_can_forbid_the_retry() -> None:
    attempts, _ = make_attempts()
    assert attempts.wait_after(Failure(is_transient=True, pushback=Pushback(delay_s=None))) is None


def test_never_waits_past_the_deadline() -> None:
    attempts, clock = make_attempts(timeout_s=0.25)
    clock.now += 0.245
    assert attempts.wait_after(AWAY) is None
    assert attempts.remaining_s() == pytest.approx(0.005)


def test_remaining_time_is_never_negative() -> None:
    attempts, clock = make_attempts()
    clock.now += 5
    assert attempts.remaining_s() == 0.0


def test_budget_bounds_retries_to_its_share() -> None:
    policy = RetryPolicy(budget_burst=2.0)
    budget = RetryBudget(policy)
    num_retries = 0
    for _ in range(1000):
        attempts = Attempts(policy, budget, timeout_s=1.0, clock=FakeClock())
        num_retries += attempts.wait_after(AWAY) is not None
    assert 95 <= num_retries <= 102  # a tenth of the calls, and the two at the start


@given(st.lists(st.booleans(), max_size=200), st.floats(0, 1), st.floats(0, 20))
def test_budget_never_gives_more_than_it_earned(calls: list[bool], ratio: float, burst: float) -> None:
    budget = RetryBudget(RetryPolicy(budget_ratio=ratio, budget_burst=burst))
    num_earned = num_spent = 0
    for is_spend in calls:
        if is_spend:
            num_spent += budget.spend()
        else:
            budget.earn()
            num_earned += 1
        assert num_spent <= burst + ratio * num_earned + 1e-6


@pytest.mark.parametrize(
    ("value", "expected"),
    [("250", 0.25), (b"250", 0.25), ("0", 0.0), ("-1", None), ("soon", None), ("", None)],
)
def test_reads_the_pushback_trailer(value: str | bytes, expected: float | None) -> None:
    assert Pushback.parse(value).delay_s == expected


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_attempts": 0}, "max_attempts: 0 is not in [1, 10]"),
        ({"budget_ratio": 1.5}, "budget_ratio: 1.5"),
        ({"budget_burst": -1.0}, "budget_burst: -1.0"),
        ({"initial_backoff_s": 0.0}, "initial_backoff_s: 0.0"),
        ({"initial_backoff_s": 1.0}, "initial_backoff_s: 1.0"),
    ],
)
def test_refuses_a_policy_out_of_bounds(settings: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RetryPolicy(**settings)  # type: ignore[arg-type]
    assert named in str(caught.value)
