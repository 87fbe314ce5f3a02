"""What admission counts. Labels come from fixed sets only, never from requests."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from qdts.service.histograms import RATIOS
from qdts.service.reply import Rung
from qdts.service.request import Priority


class AdmissionMetrics:
    """The list. Safe between threads, but for the pressure: that is one event loop's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry
        self._shed = Counter("qdts_shed", "Requests refused, by class and bound.", ["priority", "bound"], registry=r)
        self._prediction = Histogram(
            "qdts_prediction_ratio",
            "What a rung of the model took over what was predicted, the wait left aside.",
            ["rung"],
            buckets=RATIOS,
            registry=r,
        )
        self._pressure = Gauge("qdts_pressure", "Rungs not on offer for want of capacity.", ["priority"], registry=r)
        self._changes = Counter(
            "qdts_pressure_changes", "Changes of the best rung on offer, by class.", ["priority"], registry=r
        )
        self._limit = Gauge("qdts_concurrency_limit", "Requests that may be in the model at once.", registry=r)
        self._levels: dict[Priority, int] = {}

    def observe_shed(self, priority: Priority, bound: str) -> None:
        """A request has been refused, for a bound on "requests" or on a tenant's "quota"."""
        self._shed.labels(priority.name.lower(), bound).inc()

    def observe_prediction(self, rung: Rung, ratio: float) -> None:
        """A rung of the model took so much of what was predicted."""
        self._prediction.labels(rung.name.lower()).observe(ratio)

    def observe_pressure(self, priority: Priority, level: int) -> None:
        """So many rungs are not on offer for this class."""
        name = priority.name.lower()
        self._pressure.labels(name).set(level)
        if level != self._levels.get(priority, 0):
            self._changes.labels(name).inc()
        self._levels[priority] = level

    def watch_limit(self, limit: Callable[[], int]) -> None:
        """Where to read the concurrency limit from."""
        self._limit.set_function(limit)
