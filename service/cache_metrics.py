"""What the cache levels count. Labels come from fixed sets only, never from requests."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from qdts.service.cache import Entry

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class CacheMetrics:
    """The list. Safe between threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry
        self._lookups = Counter("qdts_cache_lookups", "By level and what was there.", ["level", "result"], registry=r)
        self._states = Counter("qdts_states_lookups", "Document states asked of Redis.", ["result"], registry=r)
        self._claims = Counter("qdts_cache_claims", "Turns to make a reply, by how they came.", ["result"], registry=r)
        self._revalidations = Counter("qdts_cache_revalidations", "Stale replies made anew meanwhile.", registry=r)
        self._errors = Counter("qdts_redis_errors", "Redis calls without an answer.", ["side", "kind"], registry=r)
        self._added = Histogram(
            "qdts_redis_seconds", "What Redis added to requests.", ["side"], buckets=_SECONDS, registry=r
        )
        self._breaker = Gauge("qdts_redis_breaker", "0 closed, 1 half open, 2 open.", ["side"], registry=r)
        self._changes = Counter("qdts_redis_breaker_changes", "By the new state.", ["side", "state"], registry=r)

    def observe_lookup(self, level: str, entry: Entry | None) -> None:
        """A level was asked for a reply: hit, stale, negative or miss."""
        self._lookups.labels(level, _result(entry)).inc()

    def observe_states(self, result: str) -> None:
        """Redis was asked for a document's states: hit, miss or late."""
        self._states.labels(result).inc()

    def observe_claim(self, result: str) -> None:
        """A turn came: leave, found, waited in vain, or without Redis."""
        self._claims.labels(result).inc()

    def observe_revalidation(self) -> None:
        """A stale reply has been handed out and is being made anew."""
        self._revalidations.inc()

    def observe_error(self, side: str, kind: str) -> None:
        """A call, of reading or writing, got no answer, or one that is of no use."""
        self._errors.labels(side, kind).inc()

    def observe_added(self, side: str, seconds: float) -> None:
        """A request waited for Redis."""
        self._added.labels(side).observe(seconds)

    def set_breaker(self, side: str, state: str, number: int) -> None:
        """The breaker of reading or writing has changed."""
        self._breaker.labels(side).set(number)
        self._changes.labels(side, state).inc()


def _result(entry: Entry | None) -> str:
    if entry is None:
        return "miss"
    if entry.reply is None:
        return "negative"
    return "hit" if entry.is_fresh else "stale"
