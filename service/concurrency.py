"""How many may be in the model at once: a limit that follows measured latency. The backstop of admission.

The gradient rule of Netflix' concurrency-limits (Gradient2): the limit is multiplied by tolerated over measured
latency, between one half and 1, and given room to grow of its square root, smoothed. Two differences: tolerated latency
is the caller's to know (it depends on the document and on its time), and a limit that was not reached says nothing.
Predicted finish times are what admission goes by; this holds where they are wrong.
"""

import math

SMOOTHING = 0.2
LEAST_GRADIENT = 0.5


class ConcurrencyLimit:
    """Between two bounds; starts at the upper one. Not for threads."""

    def __init__(self, *, least: int, most: int) -> None:
        self._least, self._most = float(least), float(max(least, most))
        self._limit = self._most

    @property
    def limit(self) -> int:
        """Requests that may be in the model at once."""
        return int(self._limit)

    def bound(self, *, least: int, most: int) -> None:
        """Other bounds from now on, of another engine: a limit that was open is so still."""
        was_open = self._limit == self._most
        self._least, self._most = float(least), float(max(least, most))
        self._limit = self._most if was_open else min(self._most, max(self._least, self._limit))

    def observe(self, took_s: float, *, tolerated_s: float, num_inside: int) -> None:
        """Learn what one request took while `num_inside` were there. Not for those that were cancelled."""
        gradient = min(1.0, max(LEAST_GRADIENT, tolerated_s / max(took_s, 1e-9)))
        if gradient == 1.0 and num_inside < self._limit / 2:
            return
        aim = self._limit * gradient + math.sqrt(self._limit)
        self._limit += SMOOTHING * (aim - self._limit)
        self._limit = min(self._most, max(self._least, self._limit))
