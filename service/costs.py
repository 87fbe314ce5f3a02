"""How long a rung takes for a document of a given size: learned online, in milliseconds.

One moving average per rung and size bucket (powers of two). A failure to finish in time is learned as "at
least so long". A prediction that keeps a rung from being tried is forgiven a little each time, so that a
passing slowness does not shut a rung for good.
"""

from collections.abc import Hashable

SMOOTHING = 0.2
FORGIVENESS = 0.98
# Predictions are raised by this share: late answers cost more than early ones gain.
CAUTION = 0.2


class CostTable:
    """Moving averages; one event loop's."""

    def __init__(self) -> None:
        self._mean_ms: dict[tuple[Hashable, int], float] = {}

    def predict_ms(self, rung: Hashable, size: int) -> float | None:
        """A cautious prediction, from the nearest smaller bucket if this one is new, or None."""
        for bucket in range(size.bit_length(), -1, -1):
            mean = self._mean_ms.get((rung, bucket))
            if mean is not None:
                return mean * (1 + CAUTION)
        return None

    def observe(self, rung: Hashable, size: int, took_ms: float) -> None:
        """Learn what a rung took."""
        key = (rung, size.bit_length())
        mean = self._mean_ms.get(key, took_ms)
        self._mean_ms[key] = mean + SMOOTHING * (took_ms - mean)

    def observe_at_least(self, rung: Hashable, size: int, took_ms: float) -> None:
        """Learn that a rung did not finish within `took_ms`."""
        mean = self._mean_ms.get((rung, size.bit_length()), 0.0)
        self.observe(rung, size, max(mean, took_ms))

    def forgive(self, rung: Hashable, size: int) -> None:
        """A rung was not tried because of its prediction: trust the prediction a little less."""
        for bucket in range(size.bit_length(), -1, -1):
            if (rung, bucket) in self._mean_ms:
                self._mean_ms[rung, bucket] *= FORGIVENESS
                return
