"""What a caller gets: a summary and how it came about. Numbers of the enums are those of the proto."""

from dataclasses import dataclass, replace
from enum import IntEnum

from qdts.models.document import Summary


class Rung(IntEnum):
    """The step of the ladder that answered; lower numbers are better."""

    CACHE = 1
    FULL = 2
    SHORTER = 3
    PASSAGES = 4
    STALE = 5
    EXTRACTIVE = 6
    LEAD = 7


class DegradeReason(IntEnum):
    """Why not a better rung."""

    DEADLINE_SHORT = 1
    DEADLINE_MISSED = 2
    OVERLOADED = 3
    NO_MODEL = 4
    ENGINE_FAILED = 5
    GUARD_REJECTED = 6
    CANARY = 7


class CacheStatus(IntEnum):
    """What the cache did for a reply."""

    MISS = 1
    HIT = 2
    STALE = 3
    SHARED = 4
    BYPASS = 5


# Another caller with more time may fare better.
TIME_REASONS = frozenset({DegradeReason.DEADLINE_SHORT, DegradeReason.DEADLINE_MISSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Milliseconds; 0 for what did not happen."""

    queue_ms: float = 0.0
    encode_ms: float = 0.0
    decode_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Holds nothing of the request, so that it can be shared and cached."""

    summary: Summary
    rung: Rung
    origin_rung: Rung
    reasons: tuple[DegradeReason, ...] = ()
    cache_status: CacheStatus = CacheStatus.BYPASS
    model_version: str = ""
    timings: Timings = Timings()

    def from_cache(self, *, stale: bool) -> "Reply":
        """This reply as the cache hands it out."""
        return replace(
            self,
            rung=Rung.STALE if stale else Rung.CACHE,
            cache_status=CacheStatus.STALE if stale else CacheStatus.HIT,
            timings=Timings(),
        )
