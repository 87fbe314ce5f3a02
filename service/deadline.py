"""A point in time by which an answer is due. Knows nothing of gRPC."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

# Seconds on a clock that only ever goes forward, the same in all threads.
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at` is on `clock`."""

    at: float
    clock: Clock = field(default=time.monotonic, compare=False, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> "Deadline":
        """The deadline `seconds` from now."""
        return cls(clock() + seconds, clock)

    @property
    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        """Whether nothing is left."""
        return self.clock() >= self.at

    def sooner(self, seconds: float) -> "Deadline":
        """This deadline with `seconds` kept back for what comes after."""
        return replace(self, at=self.at - seconds)
