"""The measurement of faults, at small scale: it asks Redis, breaks it, and counts what it says it counts."""

import os
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from qdts.loadtest.counting_server import CountingServer, redis_config
from qdts.loadtest.faults import AT_MOST, Outcomes, measure, missed_bars, percentile
from qdts.loadtest.redis_server import RedisServer, find_redis_server
from qdts.service.client import AsyncClient, ClientConfig
from qdts.service.redis.config import RedisConfig

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
    assert figures["model_calls_for_1000_misses_on_two_processes"] in (1, 2)
    assert figures["stale_hits_after_version_change"] == 0
    assert missed_bars(figures) == []


async def test_servers_in_processes_of_their_own_share_a_reply_through_redis_alone() -> None:
    """Without a common Redis both models are asked: what is counted is theirs."""
    with RedisServer() as common, RedisServer() as another:
        assert await count(redis_config(common.url), redis_config(common.url)) == [1, 0]
        assert await count(redis_config(common.url), redis_config(another.url), query="who kept it?") == [1, 1]


async def count(*configs: RedisConfig, query: str = "who built it?") -> list[int]:
    """Model calls of a server on each Redis, asked the same in turn."""
    patient = [replace(config, budget_ms=1000.0) for config in configs]
    with ExitStack() as running:
        servers = [running.enter_context(CountingServer(config, read_s=0.0)) for config in patient]
        assert len({os.getpid(), *(server.pid for server in servers)}) == 1 + len(servers)
        for server in servers:
            async with AsyncClient(f"127.0.0.1:{server.port}", ClientConfig(timeout_s=30)) as client:
                assert (await client.summarize(query, "The lighthouse was built in 1874.")).summary
        return [server.num_calls() for server in servers]


@pytest.mark.parametrize("name", [*AT_MOST])
def test_each_bar_can_be_missed(name: str) -> None:
    figures = {**AT_MOST, "by_fault": {"slow": {"breaker_closed_after_s": 0.1}}}
    assert missed_bars(figures) == []
    assert missed_bars(figures | {name: 7}) == [f"{name} = 7, at most {AT_MOST[name]}"]


def test_a_breaker_that_stays_open_is_named() -> None:
    figures = {**AT_MOST, "by_fault": {"slow": {"breaker_closed_after_s": None}}}
    assert missed_bars(figures) == ["slow: breaker still open"]


def test_failed_calls_are_those_that_ended_in_an_error() -> None:
    ends = Counter({"full": 5, "cache": 2, "Unavailable": 3, "DeadlineExceeded": 1})
    assert Outcomes(ends, [], []).num_failed == 4


def test_percentile() -> None:
    assert percentile([*range(100)], 0.99) == 99 and percentile([3.0], 0.5) == 3.0
