"""A run in figures: goodput, percentiles, counts. Pure arithmetic on outcomes.

Percentiles are exact, over every call of the run (nearest rank), and latency counts from the moment a call was to
be sent. An accepted call that expired counts with the time after which it was late, however early it was told.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from qdts.service.bench.outcome import LATE_S, Outcome

# Later than this at the 99th percentile, the driver's own machine is too busy to say anything of the server.
MAX_LAG_MS = 20.0


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None of no values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds; None where there was no such call."""

    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p999_ms: float | None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """Percentiles of durations in seconds."""
        p50, p90, p99, p999 = (percentile(seconds, share) for share in (0.5, 0.9, 0.99, 0.999))
        return cls(p50_ms=_ms(p50), p90_ms=_ms(p90), p99_ms=_ms(p99), p999_ms=_ms(p999))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Rates are per second of the run, shares are of what was offered, unsent arrivals included.

    planned = unsent + rejected + cancelled + failed + expired + answered, and answered = good + not in time.
    """

    planned: int
    unsent: int
    rejected: int
    cancelled: int
    failed: int
    expired: int
    answered: int
    late: int
    offered_qps: float
    goodput_qps: float  # from whatever rung
    model_goodput_qps: float  # of those, what the model wrote: full, shorter, passages
    full_goodput_qps: float  # of those, what it wrote in full
    attainment: float  # answered in time, of those whose caller waited
    model_share: float  # of the answers in time, those the model wrote
    accepted: Latency
    rejections: Latency
    first_text: Latency
    accepted_p99_over_slo: float | None  # each latency over its own deadline
    sending_lag_p99_ms: float | None  # of this driver, above MAX_LAG_MS it speaks of itself
    rungs: dict[str, int] = field(default_factory=dict[str, int])
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    codes: dict[str, int] = field(default_factory=dict[str, int])
    caches: dict[str, int] = field(default_factory=dict[str, int])  # what the cache did for the answers

    @property
    def is_reliable(self) -> bool:
        """Whether requests were sent at their time."""
        return (self.sending_lag_p99_ms or 0.0) <= MAX_LAG_MS


def describe(outcomes: Sequence[Outcome], seconds: float) -> Figures:
    """The figures of a run, or of a part of one, that lasted so long."""
    good = [outcome for outcome in outcomes if outcome.is_good]
    accepted = [outcome for outcome in outcomes if outcome.is_accepted]
    by_model = sum(outcome.is_good_by_model for outcome in good)
    waited_for = sum(not outcome.is_cancelled for outcome in outcomes)
    texts = [outcome.first_text_s - outcome.planned_s for outcome in outcomes if outcome.first_text_s is not None]
    return Figures(
        planned=len(outcomes),
        unsent=sum(not outcome.is_sent for outcome in outcomes),
        rejected=sum(outcome.is_rejected for outcome in outcomes),
        cancelled=sum(outcome.is_cancelled for outcome in outcomes),
        failed=sum(outcome.is_failed for outcome in outcomes),
        expired=sum(outcome.is_expired for outcome in outcomes),
        answered=sum(outcome.code == "OK" for outcome in outcomes),
        late=sum(outcome.is_late for outcome in outcomes),
        offered_qps=len(outcomes) / seconds,
        goodput_qps=len(good) / seconds,
        model_goodput_qps=by_model / seconds,
        full_goodput_qps=sum(outcome.is_good_in_full for outcome in good) / seconds,
        attainment=len(good) / waited_for if waited_for else 1.0,
        model_share=by_model / len(good) if good else 0.0,
        accepted=Latency.of([_accepted_s(outcome) for outcome in accepted]),
        rejections=Latency.of([outcome.latency_s for outcome in outcomes if outcome.is_rejected]),
        first_text=Latency.of(texts),
        accepted_p99_over_slo=percentile([_accepted_s(one) / one.deadline_s for one in accepted], 0.99),
        sending_lag_p99_ms=_ms(percentile([one.sent_s - one.planned_s for one in outcomes], 0.99)),
        rungs=_counts(outcome.rung for outcome in outcomes if outcome.rung),
        reasons=_counts(reason for outcome in outcomes for reason in outcome.degrade_reasons),
        codes=_counts(outcome.code for outcome in outcomes),
        caches=_counts(outcome.cache_status for outcome in outcomes if outcome.cache_status),
    )


def within(outcomes: Iterable[Outcome], begins_s: float, ends_s: float) -> list[Outcome]:
    """Those that were to be sent in [begins_s, ends_s)."""
    return [outcome for outcome in outcomes if begins_s <= outcome.planned_s < ends_s]


def recovery_s(outcomes: Iterable[Outcome], begins_s: float) -> float:
    """Seconds from `begins_s` until the last accepted call was sent that was not answered in time; 0: there is none.

    As for a 99th percentile, one such call in a hundred is forgiven, the last ones first.
    """
    after = [outcome for outcome in outcomes if outcome.is_accepted and outcome.planned_s >= begins_s]
    missed = sorted(outcome.planned_s - begins_s for outcome in after if not outcome.is_good)
    counted = missed[: max(0, len(missed) - len(after) // 100)]
    return counted[-1] if counted else 0.0


def _accepted_s(outcome: Outcome) -> float:
    return max(outcome.latency_s, outcome.deadline_s + LATE_S) if outcome.is_expired else outcome.latency_s


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())
