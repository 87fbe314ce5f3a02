"""What must hold in a scenario: for the requests of each stream, and for the server meanwhile. All of it can fail."""

from collections.abc import Iterable
from dataclasses import dataclass

from qdts.loadtest.simulation.journal import StepFigures
from qdts.loadtest.simulation.server import Served
from qdts.service.bench.figures import Figures

# Replies that cost no model: kept ones, and those of a request that was in flight already.
CACHED = ("hit", "shared")
REFUSED = "RESOURCE_EXHAUSTED"
# In seconds; bounds of the server's histogram of calls.
AT_ONCE_S, SOON_S = 0.005, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """For the requests of one stream; none may fail or be answered late, whatever stands here."""

    min_attainment: float = 0.0
    min_model_share: float = 0.0  # of the answers in time
    min_cache_share: float = 0.0  # of all answers
    max_p99_over_slo: float = 1.0  # of accepted requests
    max_recovery_s: float | None = None  # after the last rise in load
    min_rejected_share: float = 0.0  # of all requests
    max_reject_p99_ms: float | None = None

    def missed(self, figures: Figures, recovered_s: float) -> tuple[str, ...]:
        """Those that are, with what was measured."""
        cached = cache_share(figures)
        p99, most_s = figures.accepted_p99_over_slo or 0.0, self.max_recovery_s
        reject_ms, most_ms = figures.rejections.p99_ms or 0.0, self.max_reject_p99_ms
        rejected = figures.rejected / max(1, figures.planned)
        return _in_words(
            (
                ("attainment", figures.attainment, figures.attainment < self.min_attainment),
                ("model_share", figures.model_share, figures.model_share < self.min_model_share),
                ("cache_share", cached, cached < self.min_cache_share),
                ("accepted_p99_over_slo", p99, p99 > self.max_p99_over_slo),
                ("failed", figures.failed, figures.failed > 0),
                ("late", figures.late, figures.late > 0),
                ("recovery_s", recovered_s, most_s is not None and recovered_s >= most_s),
                ("rejected_share", rejected, rejected < self.min_rejected_share),
                ("reject_p99_ms", reject_ms, most_ms is not None and reject_ms >= most_ms),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFigures:
    """What the server did besides answering, from the beginning of a run to its end."""

    health_p99_ms: float
    health_bad: int  # checks that failed or did not say SERVING
    rung_changes: int = 0  # of the best rung on offer, over all classes
    breaker_openings: int = 0
    open_breakers: int = 0  # at the end
    # Shares of the refusals that took the server no longer than AT_ONCE_S, and than SOON_S.
    refused_at_once: float = 1.0
    refused_soon: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerBars:
    """For the server. The least that must have happened is there so that a load which asks nothing is no pass."""

    max_health_p99_ms: float = 50.0
    min_rung_changes: int = 0
    max_rung_changes: int | None = None
    min_breaker_openings: int = 0
    min_refused_at_once: float = 0.99

    def missed(self, seen: ServerFigures, steps: StepFigures) -> tuple[str, ...]:
        """Those that are, with what was measured."""
        most = self.max_rung_changes
        is_restless = most is not None and seen.rung_changes > most
        return _in_words(
            (
                ("health_p99_ms", seen.health_p99_ms, seen.health_p99_ms >= self.max_health_p99_ms),
                ("health_bad", seen.health_bad, seen.health_bad > 0),
                ("wasted_steps", steps.wasted, steps.wasted > 0),
                ("rung_changes", seen.rung_changes, is_restless or seen.rung_changes < self.min_rung_changes),
                ("breaker_openings", seen.breaker_openings, seen.breaker_openings < self.min_breaker_openings),
                ("open_breakers", seen.open_breakers, seen.open_breakers > 0),
                ("refused_at_once", seen.refused_at_once, seen.refused_at_once < self.min_refused_at_once),
            )
        )


class Counts:
    """The server's counters now; since() is what was added."""

    def __init__(self, served: Served) -> None:
        self._rung_changes = served.value("qdts_pressure_changes_total")
        self._breaker_openings = served.value("qdts_redis_breaker_changes_total", state="open")
        self._open_breakers = served.value("qdts_redis_breaker")
        self._refusals = served.value("qdts_call_seconds_count", code=REFUSED)
        self._at_once, self._soon = (
            served.value("qdts_call_seconds_bucket", code=REFUSED, le=str(bound_s)) for bound_s in (AT_ONCE_S, SOON_S)
        )

    def since(self, before: "Counts", *, health_p99_ms: float, health_bad: int) -> ServerFigures:
        """With what the server said of its health meanwhile."""
        num_refused = self._refusals - before._refusals
        return ServerFigures(
            health_p99_ms=health_p99_ms,
            health_bad=health_bad,
            rung_changes=round(self._rung_changes - before._rung_changes),
            breaker_openings=round(self._breaker_openings - before._breaker_openings),
            open_breakers=round(self._open_breakers),
            refused_at_once=(self._at_once - before._at_once) / num_refused if num_refused else 1.0,
            refused_soon=(self._soon - before._soon) / num_refused if num_refused else 1.0,
        )


def cache_share(figures: Figures) -> float:
    """Of all answers, those that cost no model because others had asked the same."""
    return sum(figures.caches.get(status, 0) for status in CACHED) / max(1, figures.answered)


def _in_words(checks: Iterable[tuple[str, float, bool]]) -> tuple[str, ...]:
    return tuple(f"{name} = {value:.4g}" for name, value, is_missed in checks if is_missed)
