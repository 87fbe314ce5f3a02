"""When those who are refused are told to come back: not all at once. Knows nothing of why."""

from random import Random

# By chance sooner or later, by up to such a share.
JITTER = 0.2


class RetryAfter:
    """Times for one who refuses. Event loop only."""

    def __init__(self) -> None:
        self._random = Random(0)

    def about(self, seconds: float) -> float:
        """So many seconds, more or less."""
        return seconds * self._random.uniform(1 - JITTER, 1 + JITTER)
