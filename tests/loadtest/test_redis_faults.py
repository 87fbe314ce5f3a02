"""Each fault of Redis is one, seen through the proxy, and mending undoes it."""

import asyncio
import os

import pytest

from qdts.loadtest.fault_proxy import FaultProxy
from qdts.loadtest.redis_faults import FAULTS
from qdts.loadtest.redis_server import RedisServer, find_redis_server

pytestmark = pytest.mark.skipif(
    find_redis_server() is None and not os.environ.get("QDTS_REQUIRE_REDIS"), reason="redis-server is not on PATH"
)
# What is waited for that must come, and what must not.
PATIENCE_S, MOMENT_S = 30.0, 0.3
GET, SET = b"GET kept\r\n", b"SET other value\r\n"
# What Redis still answers while it is broken; of those that are not named here, nothing.
STILL_ANSWERED: dict[str, dict[bytes, bytes]] = {
    "none": {GET: b"$2\r\nit\r\n", SET: b"+OK\r\n"},
    "restarted": {GET: b"$-1\r\n", SET: b"+OK\r\n"},
    "out_of_memory": {GET: b"$2\r\nit\r\n"},
    "read_only": {GET: b"$2\r\nit\r\n"},
}


async def ask(port: int, command: bytes, within_s: float) -> bytes:
    """The answer's first bytes; b"" if there was none."""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(command)
                return await reader.read(1024)
            finally:
                writer.transport.abort()
    except OSError:  # a TimeoutError is one
        return b""


@pytest.mark.parametrize("name", FAULTS)
async def test_it_breaks_what_it_says_and_mending_undoes_it(name: str) -> None:
    inject, mend = FAULTS[name]
    with RedisServer("--maxmemory-policy", "noeviction") as redis:
        async with FaultProxy(redis.port, delay_s=3600) as proxy:
            assert await ask(proxy.port, b"SET kept it\r\n", PATIENCE_S) == b"+OK\r\n"
            await asyncio.to_thread(inject, redis, proxy)
            for command in (GET, SET):
                expected = STILL_ANSWERED.get(name, {}).get(command)
                answer = await ask(proxy.port, command, PATIENCE_S if expected else MOMENT_S)
                assert answer == expected if expected else not answer.startswith((b"+OK", b"$2")), (command, answer)
            await asyncio.to_thread(mend, redis, proxy)
            assert await ask(proxy.port, b"SET kept more\r\n", PATIENCE_S) == b"+OK\r\n"
            assert await ask(proxy.port, GET, PATIENCE_S) == b"$4\r\nmore\r\n"
