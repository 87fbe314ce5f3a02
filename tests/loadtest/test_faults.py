"""The measurement of faults, at small scale: it asks Redis, breaks it, and counts what it says it counts."""

import os
from typing import Any

import pytest

from qdts.loadtest import shared_misses
from qdts.loadtest.fault_bars import problems
from qdts.loadtest.faults import measure
from qdts.loadtest.redis_server import find_redis_server

pytestmark = pytest.mark.skipif(
    find_redis_server() is None and not os.environ.get("QDTS_REQUIRE_REDIS"), reason="redis-server is not on PATH"
)


async def test_two_faults_under_load_fail_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that reads in a moment: callers who come later find what it wrote."""
    monkeypatch.setattr(shared_misses, "READ_S", 0.1)
    figures: Any = await measure(seconds=0.5, num_misses=100, faults=["none", "killed"])
    assert figures["failed_rpcs"] == 0 and list(figures["by_fault"]) == ["none", "killed"]
    assert figures["by_fault"]["none"]["redis_calls"] > 20
    assert figures["by_fault"]["none"]["request_added_ms_max"] > 0
    killed = figures["by_fault"]["killed"]
    assert killed["redis_calls"] > 0 and killed["breaker_opened"] >= 1
    assert killed["breaker_closed_after_s"] is not None
    assert list(problems("killed", killed)) == []
    assert figures["model_calls_for_1000_misses"] == 1
    assert figures["model_calls_for_1000_misses_on_two_servers"] <= 2
    assert figures["model_calls_for_1000_misses_on_two_processes"] in (1, 2)
    for place in ("", "_on_two_servers", "_on_two_processes"):
        assert figures[f"model_calls_for_1000_misses{place}_by_default_settings"] >= 1
    assert figures["stale_hits_after_version_change"] == 0
