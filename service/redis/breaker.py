"""Says when to stop asking what does not answer, and when to try again. Knows nothing of what is asked."""

import time
from collections.abc import Callable
from enum import IntEnum


class BreakerState(IntEnum):
    """Whether calls go through: all, one as a probe, none."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Opens after `max_failures` in a row; after `open_s` lets one call through, whose outcome decides.

    A probe that never comes to an outcome is followed by another after `open_s`.
    """

    def __init__(
        self,
        *,
        max_failures: int,
        open_s: float,
        on_change: Callable[[BreakerState], None] = lambda state: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_failures = max_failures
        self._open_s = open_s
        self._on_change = on_change
        self._clock = clock
        self._num_failures = 0
        self._since = 0.0
        self.state = BreakerState.CLOSED

    @property
    def is_well(self) -> bool:
        """Whether the last call was answered, as far as is known."""
        return self.state is BreakerState.CLOSED and self._num_failures == 0

    def allows(self) -> bool:
        """Whether a call may be made now; true makes it the probe if the breaker is not closed."""
        if self.state is BreakerState.CLOSED:
            return True
        if self._clock() - self._since < self._open_s:
            return False
        self._become(BreakerState.HALF_OPEN)
        return True

    def succeeded(self) -> None:
        """A call was answered. Of one that was made before the breaker opened, that says nothing."""
        self._num_failures = 0
        if self.state is BreakerState.HALF_OPEN:
            self._become(BreakerState.CLOSED)

    def failed(self) -> None:
        """A call was not answered."""
        self._num_failures += 1
        is_too_much = self.state is BreakerState.CLOSED and self._num_failures >= self._max_failures
        if is_too_much or self.state is BreakerState.HALF_OPEN:
            self._become(BreakerState.OPEN)

    def _become(self, state: BreakerState) -> None:
        self._since = self._clock()
        if state is not self.state:
            self.state = state
            self._on_change(state)
