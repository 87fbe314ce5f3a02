"""Calls within their budget, whatever Redis does; breakers that open and close. A real redis-server, a real socket."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis import exceptions

from qdts.loadtest.fault_proxy import Fault, FaultProxy
from qdts.loadtest.redis_server import RedisServer
from qdts.service.deadline import Deadline
from qdts.service.metrics import Metrics
from qdts.service.redis.breaker import BreakerState
from qdts.service.redis.client import Bounds, RedisClient, Side, kind_of
from qdts.service.redis.commands import connect
from qdts.service.redis.config import RedisConfig

BUDGET_S = 0.05

Errors = Callable[..., float]


@pytest.fixture(name="metrics")
def _metrics() -> Metrics:
    return Metrics()


@pytest.fixture(name="client")
async def _client(proxy: FaultProxy, config: Any, metrics: Metrics) -> AsyncIterator[RedisClient]:
    """Behind the proxy; a breaker opens after three failures for 0.3 s."""
    bounds = Bounds(budget_s=BUDGET_S, max_at_once=8, max_failures=3, open_s=0.3)
    client = RedisClient(connect(config(proxy.url)), bounds, metrics.cache)
    yield client
    await client.close()


@pytest.fixture(name="errors")
def _errors(metrics: Metrics) -> Errors:
    return lambda kind, side="read": metrics.value("qdts_redis_errors_total", side=side, kind=kind)


def soon() -> Deadline:
    return Deadline.after(10.0)


async def reads(client: RedisClient) -> None:
    """It is closed in the end, given something to do."""

    async def ask() -> None:
        while client.state(Side.READ) is not BreakerState.CLOSED:
            await client.get("a", soon())
            await asyncio.sleep(0.02)

    await asyncio.wait_for(ask(), 5.0)


async def timed(work: Awaitable[Any]) -> tuple[Any, float]:
    started = time.monotonic()
    return await work, time.monotonic() - started


async def test_what_was_set_is_got_until_its_time(client: RedisClient) -> None:
    assert await client.open(1.0)
    assert await client.set("a", b"\x00value", ttl_s=0.2)
    assert await client.get("a", soon()) == b"\x00value"
    await asyncio.sleep(0.25)
    assert await client.get("a", soon()) is None
    assert client.state(Side.READ) is BreakerState.CLOSED


async def test_a_lease_is_one_holders_until_given_back(client: RedisClient) -> None:
    await client.open(1.0)

    async def take(token: bytes) -> tuple[bool, bytes | None] | None:
        return await client.take_lease("l", "r", token, lease_ms=10_000, deadline=soon())

    assert await take(b"1") == (True, None)
    assert await take(b"2") == (False, None)
    await client.release("l", b"2")  # not its own
    assert await take(b"2") == (False, None)
    await client.set("r", b"reply", ttl_s=10)
    await client.release("l", b"1")
    assert await take(b"2") == (True, b"reply")


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.SILENCE, Fault.RESET, Fault.GARBAGE])
async def test_a_fault_costs_the_budget_opens_the_breaker_and_passes(
    client: RedisClient, proxy: FaultProxy, eventually: Any, fault: Fault, lag: Any
) -> None:
    await client.open(1.0)
    await client.set("a", b"value", ttl_s=60)
    proxy.fault = fault
    for _ in range(12):  # garbage may by chance be of the right form: "+OK"
        answer, took_s = await timed(client.get("a", soon()))
        assert answer != b"value" and took_s < lag.allows(BUDGET_S)
    assert client.state(Side.READ) is BreakerState.OPEN
    answer, took_s = await timed(client.get("a", soon()))
    assert answer is None and took_s < lag.allows(0)
    proxy.fault = Fault.NONE
    async with asyncio.timeout(5):
        while await client.get("a", soon()) != b"value":
            await asyncio.sleep(0.02)
    assert client.state(Side.READ) is BreakerState.CLOSED


async def test_redis_killed_and_restarted(client: RedisClient, redis: RedisServer, errors: Errors) -> None:
    await client.open(1.0)
    redis.kill()
    for _ in range(4):
        assert await client.get("a", soon()) is None
    assert client.state(Side.READ) is BreakerState.OPEN
    assert errors("connection") == 3 and errors("open") == 1
    await asyncio.sleep(0.35)
    assert await client.get("a", soon()) is None  # has it tried, in vain
    redis.start()
    await reads(client)


async def test_no_request_waits_for_the_try_that_closes(
    client: RedisClient, redis: RedisServer, errors: Errors, lag: Any
) -> None:
    await client.open(1.0)
    redis.stop()
    for _ in range(3):
        await client.get("a", soon())
    await asyncio.sleep(0.35)
    answers = [await timed(client.get("a", soon())) for _ in range(5)]
    redis.go_on()
    assert max(took_s for _, took_s in answers) < lag.allows(0) and errors("timeout") == 3
    await reads(client)


async def test_an_answer_that_is_too_slow_for_requests_closes_nothing(client: RedisClient, redis: RedisServer) -> None:
    async with FaultProxy(redis.port, delay_s=0.1) as slow:  # within what the background has, beyond the budget
        slow.fault = Fault.SLOW
        bounds = Bounds(budget_s=BUDGET_S, max_failures=3, open_s=0.05)
        client = RedisClient(connect(RedisConfig(url=slow.url)), bounds, Metrics().cache)
        for _ in range(60):
            await client.get("a", soon())
            await asyncio.sleep(0.01)
        assert client.state(Side.READ) is not BreakerState.CLOSED
        await client.close()


async def test_redis_stopped_and_continued(client: RedisClient, redis: RedisServer, errors: Errors, lag: Any) -> None:
    await client.open(1.0)
    redis.stop()
    for _ in range(3):
        answer, took_s = await timed(client.get("a", soon()))
        assert answer is None and took_s < lag.allows(BUDGET_S)
    redis.go_on()
    assert errors("timeout") == 3 and client.state(Side.READ) is BreakerState.OPEN


async def test_a_full_redis_is_still_read(client: RedisClient, redis: RedisServer, errors: Errors) -> None:
    await client.open(1.0)
    assert await client.set("a", b"value", ttl_s=60)
    redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis.command("CONFIG", "SET", "maxmemory", "1")
    for _ in range(3):
        assert not await client.set("b", b"value", ttl_s=60)
    assert errors("out_of_memory", "write") == 3
    assert (client.state(Side.WRITE), client.state(Side.READ)) == (BreakerState.OPEN, BreakerState.CLOSED)
    assert await client.get("a", soon()) == b"value"


async def test_a_read_only_replica_is_still_read(client: RedisClient, redis: RedisServer, errors: Errors) -> None:
    await client.open(1.0)
    await client.set("a", b"value", ttl_s=60)
    redis.command("REPLICAOF", "127.0.0.1", "1")
    for _ in range(3):
        assert await client.take_lease("l", "a", b"1", lease_ms=100, deadline=soon()) is None
    assert errors("read_only", "write") == 3
    assert client.state(Side.WRITE) is BreakerState.OPEN
    assert await client.get("a", soon()) == b"value"


async def test_a_value_of_another_type_is_absent(client: RedisClient, redis: RedisServer, errors: Errors) -> None:
    await client.open(1.0)
    redis.command("LPUSH", "a", "1")
    assert await client.get("a", soon()) is None
    assert errors("refused") == 1


async def test_the_request_may_have_less_time_than_the_budget(
    client: RedisClient, redis: RedisServer, errors: Errors, lag: Any
) -> None:
    await client.open(1.0)
    redis.stop()
    for _ in range(5):
        _, took_s = await timed(client.get("a", Deadline.after(0.005)))
        assert took_s < lag.allows(0.005)
    assert await client.get("a", Deadline.after(-1)) is None
    redis.go_on()
    assert errors("no_time") == 6
    assert client.state(Side.READ) is BreakerState.CLOSED, "it never had its budget"


async def test_a_redis_that_did_not_answer_is_not_asked_for_leave(
    client: RedisClient, redis: RedisServer, errors: Errors, lag: Any
) -> None:
    await client.open(1.0)
    redis.stop()
    await client.get("a", soon())
    answer, took_s = await timed(client.take_lease("l", "r", b"1", lease_ms=100, deadline=soon()))
    redis.go_on()
    assert answer is None and took_s < lag.allows(0) and errors("unwell", "write") == 1


async def test_more_calls_than_places_wait_no_longer(
    client: RedisClient, redis: RedisServer, errors: Errors, lag: Any
) -> None:
    await client.open(1.0)
    redis.stop()
    _, took_s = await timed(asyncio.gather(*(client.get("a", soon()) for _ in range(100))))
    redis.go_on()
    assert took_s < lag.allows(BUDGET_S)
    assert errors("busy") + errors("timeout") + errors("open") == 100
    assert errors("busy") >= 80


async def test_a_caller_that_goes_away_leaves_the_connection_whole(client: RedisClient, redis: RedisServer) -> None:
    await client.open(1.0)
    await client.set("a", b"1", ttl_s=60)
    await client.set("b", b"2", ttl_s=60)
    for _ in range(50):
        task = asyncio.ensure_future(client.get("a", soon()))
        await asyncio.sleep(0)
        task.cancel()
        assert await client.get("b", soon()) == b"2", "never the answer to another's question"


async def test_nothing_is_left_behind(client: RedisClient, proxy: FaultProxy) -> None:
    await client.open(1.0)
    proxy.fault = Fault.SLOW
    before = asyncio.all_tasks()
    await asyncio.gather(*(client.get("a", soon()) for _ in range(20)))
    await client.close()
    await asyncio.sleep(0)
    assert {task for task in asyncio.all_tasks() - before if "_Call" in repr(task)} == set()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.AuthenticationError(), "auth"),
        (exceptions.NoPermissionError(), "auth"),
        (exceptions.BusyLoadingError(), "loading"),
        (exceptions.MaxConnectionsError(), "connection"),
        (exceptions.ClusterCrossSlotError(), "refused"),
        (exceptions.InvalidResponse(), "garbage"),
        (ValueError(), "garbage"),
        (asyncio.CancelledError(), "garbage"),
    ],
)
def test_every_error_has_a_kind(error: BaseException, kind: str) -> None:
    assert kind_of(error) == kind
