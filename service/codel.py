"""Which of those that come out of a queue waited too long: controlled delay.

CoDel (Nichols and Jacobson, RFC 8289) tells a queue that absorbs bursts from one that stands: in the second even the
shortest wait of an interval is above the target. What is then turned away follows folly's Codel (Maurer, "Fail at
Scale", ACM Queue 2015): callers here do not slow down as TCP does, so not one after the other, but all whose wait
exceeds twice the target. Waits are measured in targets, since callers bring different deadlines.
"""

SLOUGH = 2.0


class Codel:
    """Watches one queue. Not for threads."""

    def __init__(self, *, interval_s: float) -> None:
        self._interval_s = interval_s
        self._ends_at = 0.0
        self._least = 0.0
        self._is_standing = False

    def drops(self, wait: float, *, now_s: float) -> bool:
        """Whether to turn away what waited for `wait` targets and comes out now."""
        if now_s >= self._ends_at:
            # Nothing has come out for a whole interval: what was known is no longer true.
            is_recent = now_s < self._ends_at + self._interval_s
            self._is_standing = is_recent and self._least > 1.0
            self._ends_at = now_s + self._interval_s
            self._least = wait
        self._least = min(self._least, wait)
        return self._is_standing and wait > SLOUGH
