"""A real redis-server, a proxy before it, and what is built on them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from qdts.loadtest.fault_proxy import FaultProxy
from qdts.loadtest.redis_server import RedisServer, find_redis_server
from qdts.service.cache import Lifetimes
from qdts.service.metrics import Metrics
from qdts.service.redis.config import RedisConfig
from qdts.service.redis.level import RedisLevel

SECRET = "a secret of tests, long enough"


class Lag:
    """How late the event loop gets to what is due: no bound on time can be kept more closely than that."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def watch(self) -> None:
        while True:
            due_at = time.monotonic() + 0.001
            await asyncio.sleep(0.001)
            self.worst_s = max(self.worst_s, time.monotonic() - due_at)

    def allows(self, seconds: float) -> float:
        """What a bound on time comes to here: some turns of the loop are needed to notice that it has passed."""
        return seconds + 0.005 + 4 * self.worst_s


@pytest.fixture(name="lag")
async def _lag() -> AsyncIterator[Lag]:
    lag = Lag()
    watching = asyncio.ensure_future(lag.watch())
    yield lag
    watching.cancel()


@pytest.fixture(name="redis")
def _redis() -> Iterator[RedisServer]:
    """An empty redis-server."""
    if find_redis_server() is None and not os.environ.get("QDTS_REQUIRE_REDIS"):
        pytest.skip("redis-server is not on PATH: apt-get install redis-server, or set QDTS_REQUIRE_REDIS to fail here")
    with RedisServer() as server:
        yield server


@pytest.fixture(name="proxy")
async def _proxy(redis: RedisServer) -> AsyncIterator[FaultProxy]:
    """A proxy before it."""
    async with FaultProxy(redis.port) as proxy:
        yield proxy


@pytest.fixture(name="config")
def _config() -> Callable[..., RedisConfig]:
    """Settings; a budget wide enough for a busy machine unless the test is about it."""

    def build(url: str, **settings: Any) -> RedisConfig:
        return RedisConfig(**{"url": url, "secret": SECRET, "budget_ms": 200.0, **settings})

    return build


@pytest.fixture(name="level")
async def _level(redis: RedisServer, config: Callable[..., RedisConfig]) -> AsyncIterator[Callable[..., RedisLevel]]:
    """What a process has of Redis; several for several processes."""
    opened: list[RedisLevel] = []

    def build(url: str | None = None, lifetimes: Lifetimes | None = None, **settings: Any) -> RedisLevel:
        lifetimes = lifetimes or Lifetimes(ttl_s=60.0, stale_s=60.0)
        opened.append(RedisLevel(config(url or redis.url, **settings), lifetimes, Metrics().cache))
        return opened[-1]

    yield build
    for level in opened:
        await level.close()
