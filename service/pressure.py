"""The best rung on offer under load, with hysteresis: brownout instead of flapping.

A controller of the kind of Klein et al. ("Brownout", ICSE 2014), driven by the one signal that admission goes by, the
wait for the model in targets. It goes one rung down when the smoothed wait has been above 1 for a while, one up when
it has been below a quarter for longer. In between it stays where it is. Short waits on a cheap rung do not say that a
dearer one can be afforded: where going up was soon followed by going down, the next time is twice as far away.
"""

import math

from qdts.service.reply import Rung

RUNGS = (Rung.FULL, Rung.SHORTER, Rung.PASSAGES)
HIGH, LOW = 1.0, 0.25
SMOOTHING_S = 0.1
# Down again within so many holding times is a relapse; the holding time grows to so many of the first.
RELAPSE, LONGEST = 4, 8


class Pressure:
    """Of one class of requests. Not for threads."""

    def __init__(self, *, degrade_after_s: float, recover_after_s: float) -> None:
        self._degrade_after_s = degrade_after_s
        self._recover_after_s = recover_after_s
        self._held_back_s = recover_after_s
        self._level = 0
        self._wait = 0.0
        self._observed_at = -math.inf
        self._since = -math.inf  # when the wait became as high, or as low, as it is
        self._rose_at = -math.inf
        self.num_changes = 0

    @property
    def level(self) -> int:
        """How many rungs are not on offer."""
        return self._level

    @property
    def rung(self) -> Rung:
        """The best rung on offer."""
        return RUNGS[self._level]

    def observe(self, wait: float, *, now_s: float) -> None:
        """A request has come that would wait for so many targets."""
        before = self._side()
        kept = math.exp((self._observed_at - now_s) / SMOOTHING_S)
        self._wait = kept * self._wait + (1 - kept) * wait
        self._observed_at = now_s
        if self._side() != before:
            self._since = now_s
        self._settle(now_s)

    def forget_relapses(self) -> None:
        """Another model answers: that a better rung was taken back before says nothing of it."""
        self._held_back_s = self._recover_after_s
        self._rose_at = -math.inf

    def _side(self) -> int:
        return (self._wait > HIGH) - (self._wait < LOW)

    def _settle(self, now_s: float) -> None:
        held_s, side = now_s - self._since, self._side()
        if side > 0 and held_s >= self._degrade_after_s and self._level < len(RUNGS) - 1:
            self._move(+1, now_s)
        elif side < 0 and held_s >= self._held_back_s and self._level > 0:
            self._move(-1, now_s)

    def _move(self, change: int, now_s: float) -> None:
        self._level += change
        self._since = now_s
        self.num_changes += 1
        if change < 0:
            self._rose_at = now_s
        elif now_s - self._rose_at < RELAPSE * self._held_back_s:
            self._held_back_s = min(2 * self._held_back_s, LONGEST * self._recover_after_s)
        else:
            self._held_back_s = self._recover_after_s
