"""Counting the model's calls: in processes of their own, and only what is shared is shared."""

import os
from contextlib import ExitStack
from dataclasses import replace

import pytest

from qdts.loadtest.counting_server import CountingServer, redis_config
from qdts.loadtest.redis_server import RedisServer, find_redis_server
from qdts.service.client import AsyncClient, ClientConfig
from qdts.service.redis.config import RedisConfig

pytestmark = pytest.mark.skipif(
    find_redis_server() is None and not os.environ.get("QDTS_REQUIRE_REDIS"), reason="redis-server is not on PATH"
)


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
