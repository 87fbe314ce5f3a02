"""The engine's places and the wait for one: how many are taken, for how long each is, who else wants one.

A queue is emptied at the rate of places over the mean time that each is taken: Little's law. Means, not cautious
quantiles: over a queue they add up.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from qdts.service.admission_config import AdmissionConfig
from qdts.service.request import Priority

SMOOTHING = 0.05
# Until the first place has come free.
GUESS_S = 0.1
# Waits are predicted to be longer by this share.
CAUTION = 0.1


class Places:
    """Counted by the event loop and by the engine's thread, each its own numbers."""

    def __init__(self, num_places: int, config: AdmissionConfig) -> None:
        self._num_places = num_places
        self._config = config
        self._taken_s: float | None = None
        self._num_expected: Counter[Priority] = Counter()

    @property
    def num_places(self) -> int:
        """Summaries that can be written at once."""
        return self._num_places

    @property
    def num_expected(self) -> int:
        """Jobs that are on their way to the queue."""
        return self._num_expected.total()

    @property
    def taken_s(self) -> float | None:
        """For how long a place is taken, on average; None until it is known."""
        return self._taken_s

    def told(self, *, num_places: int, taken_s: float | None) -> None:
        """What another process counts; instead of came_free()."""
        self._num_places, self._taken_s = num_places, taken_s

    @contextmanager
    def expecting(self, priority: Priority) -> Iterator[None]:
        """Within the block one job more is on its way to the queue, and counted so. Event loop only."""
        self._num_expected[priority] += 1
        try:
            yield
        finally:
            self._num_expected[priority] -= 1

    def came_free(self, taken_s: float) -> None:
        """A place has been given up after so long. Engine's thread only."""
        mean_s = taken_s if self._taken_s is None else self._taken_s
        self._taken_s = mean_s + SMOOTHING * (taken_s - mean_s)

    def wait_s(self, priority: Priority, *, num_queued: Mapping[Priority, int], num_running: int) -> float:
        """How long a new job of this class would wait."""
        ahead = {each: num_queued[each] + self._num_expected[each] for each in Priority}
        num_free = self._num_places - num_running
        if sum(ahead.values()) < num_free:
            return 0.0
        # Places that must come free: for those before it and the new one itself
        needed = min(self._num_before(priority, ahead), sum(ahead.values())) + 1 - max(0, num_free)
        taken_s = GUESS_S if self._taken_s is None else self._taken_s
        return (1 + CAUTION) * max(0.0, needed) * taken_s / self._num_places

    def _num_before(self, priority: Priority, ahead: Mapping[Priority, int]) -> float:
        """Jobs that get a place before a new one: all of its class and above, and those below by their shares."""
        own = sum(count for each, count in ahead.items() if each <= priority)
        below = sum(self._config.share(each) for each, count in ahead.items() if each > priority and count)
        return math.ceil(own / (1 - below))
