"""What locustfile.py makes of a run: requests, failures, p99, how late they were sent, and the exit status."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qdts.service.bench.figures import MAX_LAG_MS, percentile

# Of a stream, an event of its own beside the stream's; not a request.
FIRST_MESSAGE = "first message"
FAILED, UNRELIABLE = 1, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`lag_ms` is by how much the latest hundredth was sent too late."""

    num_requests: int
    num_failed: int
    p99_ms: float
    lag_ms: float
    faults: tuple[str, ...]

    @property
    def status(self) -> int:
        """The exit status."""
        if not self.faults:
            return 0
        return UNRELIABLE if self.lag_ms > MAX_LAG_MS else FAILED

    def __str__(self) -> str:
        head = f"{self.num_requests} requests, p99 {self.p99_ms:.0f} ms, sent {self.lag_ms:.1f} ms late at p99"
        return f"{head}: {'; '.join(self.faults) or 'passed'}"


def judge(stats: Any, lags_s: Sequence[float], options: Any) -> Verdict:
    """By Locust's figures, its total left aside: that counts first messages, too."""
    entries = [entry for entry in stats.entries.values() if not entry.name.endswith(FIRST_MESSAGE)]
    times: Counter[float] = Counter()
    for entry in entries:
        times.update(entry.response_times)
    num_requests, num_failed = (sum(getattr(one, name) for one in entries) for name in ("num_requests", "num_failures"))
    p99_ms = _percentile_of_counts(times, 0.99)
    faults: list[str] = []
    if not num_requests:
        faults.append("nothing was sent")
    elif num_failed / num_requests > options.max_fail_ratio:
        faults.append(f"{num_failed / num_requests:.2%} failed, at most {options.max_fail_ratio:.2%}")
    if p99_ms > options.deadline_ms:
        faults.append(f"p99 {p99_ms:.0f} ms, at most {options.deadline_ms:.0f}")
    return Verdict(
        num_requests=num_requests,
        num_failed=num_failed,
        p99_ms=p99_ms,
        lag_ms=1000 * (percentile(lags_s, 0.99) or 0.0),
        faults=tuple(faults),
    )


def _percentile_of_counts(counts: Mapping[float, int], share: float) -> float:
    """The nearest rank, of values given with how often they came; Locust keeps them rounded to two digits."""
    num_left = math.ceil(share * sum(counts.values()))
    for value in sorted(counts):
        num_left -= counts[value]
        if num_left <= 0:
            return value
    return 0.0
