"""How often the model is asked for what many want at once, and whether what an old model wrote is still given."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from qdts.loadtest.counting_model import CountingModel
from qdts.loadtest.counting_server import CountingServer, redis_config, serving
from qdts.loadtest.fault_load import DOCUMENT, call, one_try
from qdts.loadtest.redis_server import RedisServer
from qdts.service.application import Application
from qdts.service.client import AsyncClient
from qdts.service.redis.config import RedisConfig

NUM_VERSION_QUERIES = 100
# Of the model that is asked for what a thousand callers want at once: all of them are there before it has read.
READ_S = 0.5
MISS_TIMEOUT_S = 30.0


async def count_misses(redis: RedisServer, num_misses: int) -> dict[str, int]:
    """Of that many identical misses at once: calls of the model, on one server, on two, and on two in processes of
    their own. With patient settings, which a thousand calls in one process need, and with the defaults.
    """
    counts: dict[str, int] = {}
    for ending, config in (("", _patient(redis)), ("_by_default_settings", redis_config(redis.url))):
        for place, num_servers in (("", 1), ("_on_two_servers", 2)):
            counted = await count_model_calls(config, num_servers, num_misses)
            counts[f"model_calls_for_1000_misses{place}{ending}"] = counted
        apart = await count_model_calls_apart(config, num_misses)
        counts[f"model_calls_for_1000_misses_on_two_processes{ending}"] = apart
    return counts


async def count_model_calls(config: RedisConfig, num_servers: int, num_misses: int) -> int:
    """Of that many identical misses at once, spread over so many servers of this process."""
    async with _several(config, num_servers) as servers:
        ports = [application.port for application, _ in servers]
        await _miss(ports, f"asked of {num_servers}, {config.budget_ms:g} ms", num_misses)
        return sum(model.num_calls for _, model in servers)


async def count_model_calls_apart(config: RedisConfig, num_misses: int) -> int:
    """The same on two servers in processes of their own, which share nothing but Redis."""
    with CountingServer(config, read_s=READ_S) as one, CountingServer(config, read_s=READ_S) as other:
        await _miss([one.port, other.port], f"asked of two processes, {config.budget_ms:g} ms", num_misses)
        return one.num_calls() + other.num_calls()


async def count_stale_hits(redis: RedisServer) -> int:
    """Replies of the old model that a server with the new one gives."""
    queries = [f"version {number}" for number in range(NUM_VERSION_QUERIES)]
    config = replace(redis_config(redis.url), budget_ms=100.0)
    versions: list[str] = []
    for version in ("counting@1", "counting@2"):
        async with serving(config, CountingModel(version=version)) as (application, _):
            async with AsyncClient(f"127.0.0.1:{application.port}", one_try()) as client:
                replies = [await client.summarize(query, DOCUMENT) for query in queries]
        versions = [reply.model_version for reply in replies]
    return sum(version != "counting@2" for version in versions)


async def _miss(ports: Sequence[int], query: str, num_misses: int) -> None:
    async with AsyncExitStack() as open_clients:
        clients = [
            await open_clients.enter_async_context(AsyncClient(f"127.0.0.1:{port}", one_try(MISS_TIMEOUT_S)))
            for port in ports
        ]
        share = num_misses // len(ports)
        ended = await asyncio.gather(
            *(call(client, query, time.monotonic()) for _ in range(share) for client in clients)
        )
    assert all(end[0].islower() for end, _ in ended), Counter(end for end, _ in ended)


def _patient(redis: RedisServer) -> RedisConfig:
    """A thousand calls at once keep event loops busy for longer than Redis may take in service."""
    return replace(redis_config(redis.url), budget_ms=100.0, lease_ms=10_000)


@asynccontextmanager
async def _several(config: RedisConfig, num: int) -> AsyncIterator[list[tuple[Application, CountingModel]]]:
    """That many servers on one Redis, each with a model that takes its time."""
    async with AsyncExitStack() as running:
        yield [await running.enter_async_context(serving(config, CountingModel(read_s=READ_S))) for _ in range(num)]
