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
    with RedisServer() as common, RedisServer() as another, ExitStack() as running:
        configs = [redis_config(common.url), redis_config(common.url), redis_config(another.url)]
        servers = [running.enter_context(start(config)) for config in configs]
        assert len({os.getpid(), *(server.pid for server in servers)}) == 4
        for server in servers:
            async with AsyncClient(f"127.0.0.1:{server.port}", ClientConfig(timeout_s=30)) as client:
                assert (await client.summarize("who built it?", "The lighthouse was built in 1874.")).summary
        assert [server.num_calls() for server in servers] == [1, 0, 1]


def start(config: RedisConfig) -> CountingServer:
    return CountingServer(replace(config, budget_ms=1000.0), read_s=0.0)
