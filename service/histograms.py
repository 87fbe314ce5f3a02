"""Buckets that several histograms share: what is to be compared is counted alike."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Histogram

# An answer is to take at most 55 ms: there must be a bound at the target and one soon after it.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.055, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Around 1: as long as was predicted, as long as the other's.
RATIOS = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0)


def seconds_histogram(name: str, text: str, registry: CollectorRegistry, labels: Sequence[str] = ()) -> Histogram:
    """A histogram of seconds, from a millisecond to ten."""
    return Histogram(name, text, labels, buckets=_SECONDS, registry=registry)
