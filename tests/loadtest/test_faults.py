"""The measurement of faults, at small scale: it asks Redis, breaks it, and counts what it says it counts."""

import os
from collections import Counter
from typing import Any

import pytest

from qdts.loadtest.faults import Outcomes, measure, percentile
from qdts.loadtest.redis_server import find_redis_server

pytestmark = pytest.mark.skipif(
    find_redis_server() is None and not os.environ.get("QDTS_REQUIRE_REDIS"), reason="redis-server is not on PATH"
)


async def test_two_faults_under_load_fail_no_call() -> None:
    figures: Any = await measure(seconds=0.5, num_misses=100, faults=["none", "killed"])
    assert figures["failed_rpcs"] == 0
    assert figures["by_fault"]["none"]["redis_calls"] > 20
    killed = figures["by_fault"]["killed"]
    assert killed["redis_calls"] > 0 and killed["breaker_opened"] >= 1
    assert killed["breaker_closed_after_s"] is not None
    assert figures["model_calls_for_1000_misses"] == 1
    assert figures["model_calls_for_1000_misses_on_two_servers"] <= 2
    assert figures["stale_hits_after_version_change"] == 0


def test_failed_calls_are_those_that_ended_in_an_error() -> None:
    ends = Counter({"full": 5, "cache": 2, "Unavailable": 3, "DeadlineExceeded": 1})
    assert Outcomes(ends, [], []).num_failed == 4


def test_percentile() -> None:
    assert percentile([*range(100)], 0.99) == 99 and percentile([3.0], 0.5) == 3.0
