"""One fault of Redis under load, from before it to after it: what calls got, what Redis added, what the breaker did."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from qdts.loadtest.fault_load import call, load, one_try
from qdts.loadtest.fault_proxy import FaultProxy
from qdts.loadtest.redis_faults import FAULTS
from qdts.loadtest.redis_server import RedisServer
from qdts.loadtest.redis_share import measured_shares
from qdts.service.application import Application
from qdts.service.bench.figures import MAX_LAG_MS, percentile
from qdts.service.client import AsyncClient
from qdts.service.metrics import Metrics
from qdts.service.redis.config import RedisConfig

RECOVERY_S = 5.0
# So many requests wait for a Redis that does not answer, each for the whole budget, before a breaker opens.
NUM_OPENING = RedisConfig().breaker_failures


async def suffer(
    name: str, application: Application, redis: RedisServer, proxy: FaultProxy, seconds: float
) -> dict[str, object]:
    """Figures of the fault `name` that lasts for so long, on a server of this process that asks Redis by the proxy."""
    inject, mend = FAULTS[name]
    before = _Reading(application.metrics)
    await asyncio.to_thread(inject, redis, proxy)
    with measured_shares() as shares_ms:
        outcomes = await load(application.port, seconds, name)
    after = _Reading(application.metrics)
    await asyncio.to_thread(mend, redis, proxy)
    closed_after_s = await _recover(application)
    loop_late_ms = percentile(outcomes.late_ms, 0.99) or 0.0
    return {
        "requests": outcomes.ends.total(),
        "failed_rpcs": outcomes.num_failed,
        "ends": dict(outcomes.ends.most_common()),
        "call_ms_p99": round(percentile(outcomes.took_ms, 0.99) or 0.0, 1),
        "loop_late_ms_p99": round(loop_late_ms, 1),
        "is_reliable": loop_late_ms <= MAX_LAG_MS,
        "redis_calls": after.num_waits - before.num_waits,
        "added_ms_per_request": round(1000 * (after.waited_s - before.waited_s) / max(1, outcomes.ends.total()), 3),
        "added_ms_p99_at_most": after.p99_ms_since(before, outcomes.ends.total()),
        **of_shares(shares_ms, is_opened=after.num_opened > before.num_opened),
        "breaker_opened": int(after.num_opened - before.num_opened),
        "breaker_closed_after_s": closed_after_s,
    }


def of_shares(shares_ms: Sequence[float], *, is_opened: bool) -> dict[str, float]:
    """What Redis added to whole requests. Those that a breaker took to open are in all figures but the last."""
    slowest_last = sorted(shares_ms)
    settled = slowest_last[:-NUM_OPENING] if is_opened else slowest_last
    return {
        "request_added_ms_max": round(max(shares_ms, default=0.0), 2),
        "request_added_ms_p99": round(percentile(slowest_last, 0.99) or 0.0, 2),
        "request_added_ms_p99_but_opening": round(percentile(settled, 0.99) or 0.0, 2),
    }


class _Reading:
    """What the server has counted so far."""

    def __init__(self, metrics: Metrics) -> None:
        families = {family.name: family for family in metrics.registry.collect()}
        self._buckets: Counter[float] = Counter()
        self.waited_s, self.num_waits = 0.0, 0
        for sample in families["qdts_redis_seconds"].samples:
            if sample.name.endswith("_bucket"):
                self._buckets[float(sample.labels["le"])] += int(sample.value)
            elif sample.name.endswith("_sum"):
                self.waited_s += sample.value
            elif sample.name.endswith("_count"):
                self.num_waits += int(sample.value)
        changes = families["qdts_redis_breaker_changes"].samples
        self.num_opened = sum(s.value for s in changes if s.labels.get("state") == "open" and s.name.endswith("_total"))

    def p99_ms_since(self, before: "_Reading", num_requests: int) -> float:
        """No more than this was added to 99 % of requests: the bound of a bucket. Who did not ask waited 0."""
        num_over_allowed = 0.01 * num_requests
        for bound in sorted(self._buckets):
            num_within = self._buckets[bound] - before._buckets[bound]
            if self.num_waits - before.num_waits - num_within <= num_over_allowed:
                return 1000 * bound
        raise AssertionError("the last bucket holds everything")


async def _recover(application: Application) -> float | None:
    """Seconds until both breakers have closed, given something to do; None: they did not in time."""
    started_at = time.monotonic()
    async with AsyncClient(f"127.0.0.1:{application.port}", one_try()) as client:
        while (passed_s := time.monotonic() - started_at) < RECOVERY_S:
            sides = ("read", "write")
            if not any(application.metrics.value("qdts_redis_breaker", side=side) for side in sides):
                return round(passed_s, 2)
            await call(client, f"recovery {time.monotonic()}", time.monotonic())
            await asyncio.sleep(0.02)
    return None
