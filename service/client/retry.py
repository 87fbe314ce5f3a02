"""When a failed call is tried again. Pure logic: knows nothing of gRPC, sleeps never.

A call may be repeated because summarising changes nothing. Three bounds keep retries from making an overload
worse: at most `max_attempts` per call, a budget shared by all calls of a client (a token bucket that earns
`budget_ratio` per call), and the caller's deadline. A server's pushback replaces the backoff; a negative one
forbids the retry.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from qdts.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`budget_burst` is what the bucket holds at the start and at most."""

    max_attempts: int = 3
    budget_ratio: float = 0.1
    budget_burst: float = 10.0
    initial_backoff_s: float = 0.01
    max_backoff_s: float = 0.2

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= 10:
            raise ConfigError(f"retry.max_attempts: {self.max_attempts} is not in [1, 10]")
        if not 0 <= self.budget_ratio <= 1:
            raise ConfigError(f"retry.budget_ratio: {self.budget_ratio} is not in [0, 1]")
        if self.budget_burst < 0:
            raise ConfigError(f"retry.budget_burst: {self.budget_burst} is below 0")
        if not 0 < self.initial_backoff_s <= self.max_backoff_s:
            bound = f"(0, {self.max_backoff_s}]"
            raise ConfigError(f"retry.initial_backoff_s: {self.initial_backoff_s} is not in {bound}")


class RetryBudget:
    """Each call earns a share of a retry, each retry costs one. Safe to share between threads."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._ratio = policy.budget_ratio
        self._burst = policy.budget_burst
        self._tokens = policy.budget_burst
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Once per call."""
        with self._lock:
            self._tokens = min(self._burst, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Take one retry, if one is left."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushback:
    """What the server says about trying again: after `delay_s`, or, with None, not at all."""

    delay_s: float | None

    @classmethod
    def parse(cls, value: str | bytes) -> "Pushback":
        """The trailer grpc-retry-pushback-ms: negative or unreadable forbids the retry (gRFC A6)."""
        try:
            delay_ms = int(value)
        except ValueError:
            return cls(delay_s=None)
        return cls(delay_s=delay_ms / 1000 if delay_ms >= 0 else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed attempt. `is_transient`: the server was not reached, or said that it is not there now."""

    is_transient: bool
    pushback: Pushback | None = None


class Attempts:
    """The attempts of one call, counted against policy, budget and deadline."""

    def __init__(
        self,
        policy: RetryPolicy,
        budget: RetryBudget,
        *,
        timeout_s: float,
        clock: Callable[[], float],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._clock = clock
        self._uniform = uniform
        self._deadline = clock() + timeout_s
        self._num_failed = 0
        budget.earn()

    def remaining_s(self) -> float:
        """Time left for the attempt that starts now."""
        return max(0.0, self._deadline - self._clock())

    def wait_after(self, failure: Failure) -> float | None:
        """Seconds to wait before the next attempt; None: give up and raise."""
        self._num_failed += 1
        if self._num_failed >= self._policy.max_attempts:
            return None
        delay_s = self._delay(failure)
        if delay_s is None or delay_s >= self.remaining_s() or not self._budget.spend():
            return None
        return delay_s

    def _delay(self, failure: Failure) -> float | None:
        if failure.pushback is not None:
            return failure.pushback.delay_s
        if not failure.is_transient:
            return None
        ceiling_s = self._policy.initial_backoff_s * 2.0 ** (self._num_failed - 1)
        return self._uniform(0.0, min(ceiling_s, self._policy.max_backoff_s))
