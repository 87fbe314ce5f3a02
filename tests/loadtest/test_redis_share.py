"""What Redis took of a request is the sum of all its calls, and nobody else's."""

import asyncio
import os
from dataclasses import replace

import pytest

from qdts.loadtest.counting_server import redis_config, serving
from qdts.loadtest.fault_load import DOCUMENT, one_try
from qdts.loadtest.fault_proxy import Fault, FaultProxy
from qdts.loadtest.redis_server import RedisServer, find_redis_server
from qdts.loadtest.redis_share import measured_shares
from qdts.service.client import AsyncClient
from qdts.service.redis.replies import RedisReplies
from qdts.service.serving import Serving

pytestmark = pytest.mark.skipif(
    find_redis_server() is None and not os.environ.get("QDTS_REQUIRE_REDIS"), reason="redis-server is not on PATH"
)
DELAY_S = 0.1


async def test_a_miss_pays_for_looking_and_for_its_lease_and_a_hit_for_nothing() -> None:
    """Redis answers late, and is waited for: twice by a miss, by a reply that this process holds not at all."""
    untouched = Serving.answer, RedisReplies.get, RedisReplies.claim
    with RedisServer() as redis:
        async with FaultProxy(redis.port, delay_s=DELAY_S) as proxy:
            config = replace(redis_config(proxy.url), budget_ms=5000.0)
            async with (
                serving(config) as (application, _),
                AsyncClient(f"127.0.0.1:{application.port}", one_try(30)) as client,
            ):
                proxy.fault = Fault.SLOW
                with measured_shares() as shares_ms:
                    await client.summarize("a miss", DOCUMENT)
                    await client.summarize("a miss", DOCUMENT)
                    await asyncio.gather(*(client.summarize(f"another {n}", DOCUMENT) for n in range(3)))
    assert len(shares_ms) == 5
    assert shares_ms[0] >= 2 * 1000 * DELAY_S * 0.9
    assert shares_ms[1] == 0.0
    assert all(1000 * DELAY_S * 0.9 <= share < 30_000 for share in shares_ms[2:])
    assert (Serving.answer, RedisReplies.get, RedisReplies.claim) == untouched
