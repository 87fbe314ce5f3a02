"""What became of one arrival. All times are seconds after the run's start, by one clock."""

from dataclasses import dataclass

# How an arrival ended that no status code describes.
UNSENT = "UNSENT"
# What the service says when it sheds: both come before any work is done.
REJECTED_CODES = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})
FULL = "full"
MODEL_RUNGS = frozenset({FULL, "shorter", "passages"})
# A reply is late from so long after its deadline on: what the wire and two event loops take.
LATE_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`code` is gRPC's, or UNSENT. Latency counts from the moment the request was to be sent."""

    number: int
    kind: str
    planned_s: float
    sent_s: float
    ended_s: float
    deadline_s: float
    code: str
    reason: str = ""  # of an error: ErrorInfo's
    rung: str = ""
    origin_rung: str = ""
    degrade_reasons: tuple[str, ...] = ()
    cache_status: str = ""
    first_text_s: float | None = None

    @property
    def latency_s(self) -> float:
        """From when it was to be sent to its end: time it could not be sent in is the caller's, too."""
        return self.ended_s - self.planned_s

    @property
    def is_sent(self) -> bool:
        """Whether the server got to see it."""
        return self.code != UNSENT

    @property
    def is_rejected(self) -> bool:
        """Whether the server turned it away."""
        return self.code in REJECTED_CODES

    @property
    def is_cancelled(self) -> bool:
        """Whether its caller gave up."""
        return self.code == "CANCELLED"

    @property
    def is_expired(self) -> bool:
        """Whether its deadline passed with no answer."""
        return self.code == "DEADLINE_EXCEEDED"

    @property
    def is_accepted(self) -> bool:
        """Whether the server took it on: answered it, or let it expire."""
        return self.code == "OK" or self.is_expired

    @property
    def is_good(self) -> bool:
        """Whether it was answered by its deadline, from whatever rung."""
        return self.code == "OK" and self.latency_s <= self.deadline_s

    @property
    def is_good_by_model(self) -> bool:
        """Whether it was answered by its deadline with what the model wrote, now or, fresh in the cache, before."""
        return self.is_good and self.rung != "stale" and self.origin_rung in MODEL_RUNGS

    @property
    def is_good_in_full(self) -> bool:
        """Whether it was answered by its deadline as without any load: in full, now or, fresh in the cache, before."""
        return self.is_good and self.rung != "stale" and self.origin_rung == FULL

    @property
    def is_late(self) -> bool:
        """Whether a reply came after its deadline, by more than the wire takes."""
        return self.code == "OK" and self.latency_s > self.deadline_s + LATE_S

    @property
    def is_failed(self) -> bool:
        """Whether it ended in a way no promise covers."""
        return self.is_sent and not (self.is_accepted or self.is_rejected or self.is_cancelled)
