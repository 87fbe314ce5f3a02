"""Servers that share a Redis, over real gRPC: what one made the others find; whatever Redis does, no call fails."""

import asyncio
import time
from typing import Any

import grpc
import pytest

from qdts.loadtest.fault_proxy import Fault, FaultProxy
from qdts.loadtest.redis_server import RedisServer
from qdts.service.admission_config import AdmissionConfig
from qdts.v1 import admin_pb2 as admin_pb
from qdts.v1 import summarization_pb2 as pb

REFRESH = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_REFRESH)


def added(server: Any) -> tuple[float, float]:
    """Seconds that Redis added to requests, and to how many."""
    metrics = server.application.metrics
    return tuple(
        sum(metrics.value(f"qdts_redis_seconds_{kind}", side=side) for side in ("read", "write"))
        for kind in ("sum", "count")
    )  # type: ignore[return-value]


async def test_what_one_server_made_another_finds(serve: Any, redis: RedisServer, config: Any, eventually: Any) -> None:
    one, two = [await serve(redis=config(redis.url)) for _ in range(2)]
    made = await one.summarize()
    await eventually(lambda: redis.command("DBSIZE") == b":1\r\n")
    found = await two.summarize()
    assert (found.rung, found.cache_status, found.origin_rung) == (pb.RUNG_CACHE, pb.CACHE_STATUS_HIT, pb.RUNG_FULL)
    assert (found.summary, found.sentences, found.model_version) == (made.summary, made.sentences, made.model_version)
    assert two.model.num_starts == 0
    lookups = "qdts_cache_lookups_total"
    values = [
        two.application.metrics.value(lookups, level=level, result=result)
        for level, result in (("process", "miss"), ("redis", "hit"), ("process", "hit"))
    ]
    await two.summarize()
    assert values == [1, 1, 0]
    assert two.application.metrics.value(lookups, level="process", result="hit") == 1, "kept in process, too"


async def test_a_server_that_starts_finds_what_an_old_one_made(
    serve: Any, kit: Any, redis: RedisServer, config: Any
) -> None:
    old = await serve(redis=config(redis.url))
    await old.summarize()
    await old.application.stop()
    new = await serve(redis=config(redis.url))
    assert (await new.summarize()).rung == pb.RUNG_CACHE


async def test_another_model_version_finds_nothing(serve: Any, kit: Any, redis: RedisServer, config: Any) -> None:
    old = await serve(redis=config(redis.url))
    questions = [f"When was lighthouse {number} built?" for number in range(50)]
    for query in questions:
        await old.summarize(query=query)
    await old.application.stop()
    new = await serve(kit.Model(version="fake@4567"), redis=config(redis.url))
    replies = [await new.summarize(query=query) for query in questions]
    assert {(reply.rung, reply.model_version) for reply in replies} == {(pb.RUNG_FULL, "fake@4567")}
    assert new.model.num_starts == 50


async def test_another_number_format_finds_nothing(serve: Any, kit: Any, redis: RedisServer, config: Any) -> None:
    int8 = await serve(redis=config(redis.url), engine=kit.Engine(precision="int8"))
    await int8.summarize()
    await int8.application.stop()
    fp32 = await serve(redis=config(redis.url), engine=kit.Engine(precision="fp32"))
    assert (await fp32.summarize()).rung == pb.RUNG_FULL


async def test_thousand_identical_misses_on_two_servers_are_one_model_call(
    serve: Any, redis: RedisServer, config: Any, eventually: Any
) -> None:
    servers = [await serve(redis=config(redis.url, lease_ms=20_000)) for _ in range(2)]
    for server in servers:
        server.model.gate.clear()
    calls = [asyncio.ensure_future(server.summarize(timeout=30)) for server in servers for _ in range(500)]
    await eventually(lambda: sum(server.model.num_steps for server in servers) == 1)
    await asyncio.sleep(0.5)
    for server in servers:
        server.model.gate.set()
    replies = await asyncio.gather(*calls)
    assert sum(server.model.num_starts for server in servers) == 1
    assert {(reply.summary, tuple(reply.degrade_reasons)) for reply in replies} == {(replies[0].summary, ())}


async def test_who_waits_for_another_server_takes_a_place(
    serve: Any, kit: Any, redis: RedisServer, config: Any, eventually: Any
) -> None:
    """It may have to make the reply itself any moment: admission.max_requests bounds that, too."""
    holder, waiting = [
        await serve(redis=config(redis.url, lease_ms=30_000), admission=AdmissionConfig(max_requests=1)) for _ in "12"
    ]
    holder.model.gate.clear()
    first = asyncio.ensure_future(holder.summarize(timeout=55))
    await eventually(lambda: holder.model.num_starts == 1)
    second = asyncio.ensure_future(waiting.summarize(timeout=55))
    inside = waiting.application._builder.learned.inside
    await eventually(lambda: inside.total() == 1)
    assert waiting.model.num_starts == 0
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await waiting.summarize(text="One too many.", timeout=55)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    holder.model.gate.set()
    assert (await first).summary == (await second).summary
    assert inside.total() == 0


async def test_when_a_server_dies_while_it_makes_a_reply_another_takes_over(
    serve: Any, redis: RedisServer, config: Any, eventually: Any
) -> None:
    dead, heir = [await serve(redis=config(redis.url, lease_ms=500)) for _ in range(2)]
    dead.model.gate.clear()  # as good as dead: it never gives its lease back
    lost = asyncio.ensure_future(dead.summarize(timeout=30))
    await eventually(lambda: dead.model.num_steps == 1)
    started = time.monotonic()
    reply = await heir.summarize()
    assert (reply.rung, heir.model.num_starts) == (pb.RUNG_FULL, 1)
    assert 0.2 < time.monotonic() - started < 2.0
    dead.model.gate.set()
    assert (await lost).rung == pb.RUNG_FULL


async def test_cancelled_holder_gives_its_lease_back(
    serve: Any, redis: RedisServer, config: Any, eventually: Any
) -> None:
    one, two = [await serve(redis=config(redis.url, lease_ms=30_000)) for _ in range(2)]
    one.model.gate.clear()
    call = one.stub.Summarize(pb.SummarizeRequest(query="Q?", document=pb.Document(text="A. B.")), timeout=30)
    await eventually(lambda: one.model.num_steps == 1)
    call.cancel()
    await eventually(lambda: redis.command("DBSIZE") == b":0\r\n")
    one.model.gate.set()
    assert (await two.summarize(query="Q?", text="A. B.")).rung == pb.RUNG_FULL


async def test_refresh_replaces_what_others_find(serve: Any, redis: RedisServer, config: Any, eventually: Any) -> None:
    one, two = [await serve(redis=config(redis.url)) for _ in range(2)]
    await one.summarize()
    await eventually(lambda: redis.command("DBSIZE") == b":1\r\n")
    [name] = [line for line in redis.command("KEYS", "*").split(b"\r\n") if line.startswith(b"qdts")]
    before = redis.command("GET", name.decode())
    await two.summarize(options=REFRESH)
    await eventually(lambda: redis.command("GET", name.decode()) != before)
    assert (one.model.num_starts, two.model.num_starts) == (1, 1)


async def test_degraded_replies_are_shared_with_nobody(serve: Any, redis: RedisServer, config: Any) -> None:
    server = await serve(redis=config(redis.url))
    server.model.step_error = ValueError("boom")
    assert (await server.summarize()).rung == pb.RUNG_EXTRACTIVE
    await asyncio.sleep(0.1)
    assert redis.command("DBSIZE") == b":0\r\n"


async def test_what_the_guard_rejects_other_servers_do_not_try(
    serve: Any, redis: RedisServer, config: Any, eventually: Any
) -> None:
    one, two = [await serve(redis=config(redis.url)) for _ in range(2)]
    one.model.invents = two.model.invents = True
    await one.summarize()
    await eventually(lambda: redis.command("DBSIZE") == b":1\r\n")
    reply = await two.summarize()
    assert (reply.rung, list(reply.degrade_reasons)) == (pb.RUNG_EXTRACTIVE, [pb.DEGRADE_REASON_GUARD_REJECTED])
    assert two.model.num_starts == 0


async def test_a_server_starts_without_redis(serve: Any, redis: RedisServer, config: Any) -> None:
    redis.kill()
    server = await serve(redis=config(redis.url))
    assert (await server.summarize()).rung == pb.RUNG_FULL


async def test_a_model_that_keeps_states_is_told_where_others_do(
    serve: Any, kit: Any, redis: RedisServer, config: Any
) -> None:
    stores = list[Any]()
    told = {"share_states": lambda model, store: stores.append(store), "fetch": lambda model, prompt, *, within_s: None}
    sharing: Any = type("Sharing", (kit.Model,), told)
    await serve(sharing(), redis=config(redis.url))
    await serve(sharing(), redis=config(redis.url, states=False))
    await serve(sharing())
    assert [type(store).__name__ for store in stores] == ["RedisStates"]


async def test_states_of_others_are_waited_for_within_the_request(
    serve: Any, kit: Any, redis: RedisServer, config: Any
) -> None:
    within = list[float]()
    told = {
        "share_states": lambda model, store: None,
        "fetch": lambda model, prompt, *, within_s: within.append(within_s),
    }
    sharing: Any = type("Sharing", (kit.Model,), told)
    server = await serve(sharing(), redis=config(redis.url))
    within.clear()  # the warm-up's
    for timeout_s in (60, 20):
        await server.summarize(query=f"What is it within {timeout_s} s?", timeout=timeout_s)
    assert 20 < within[0] < 60 and 0 < within[1] < 20


@pytest.mark.parametrize("fault", ["slow", "reset", "garbage", "silence", "killed", "stopped", "full", "read_only"])
async def test_no_call_fails_and_none_waits_long(
    serve: Any, redis: RedisServer, proxy: FaultProxy, config: Any, fault: str, lag: Any
) -> None:
    server = await serve(redis=config(proxy.url, budget_ms=20.0, breaker_open_s=60.0))
    await server.summarize()
    inject(fault, redis, proxy)
    before = added(server)
    calls = (server.summarize(query=f"What is number {number}?", timeout=60) for number in range(40))
    replies = await asyncio.gather(*calls)
    seconds, count = (after - then for after, then in zip(added(server), before, strict=True))
    if fault == "stopped":
        redis.go_on()
    assert {reply.rung for reply in replies} == {pb.RUNG_FULL}
    assert server.model.num_starts == 41
    assert count > 0, "Redis was asked"
    assert seconds / count < lag.allows(0.020)


def inject(fault: str, redis: RedisServer, proxy: FaultProxy) -> None:
    """Break it."""
    if fault in {"slow", "reset", "garbage", "silence"}:
        proxy.fault = Fault(fault)
    elif fault == "killed":
        redis.kill()
    elif fault == "stopped":
        redis.stop()
    elif fault == "full":
        redis.command("CONFIG", "SET", "maxmemory", "1")
    else:
        redis.command("REPLICAOF", "127.0.0.1", "1")


async def test_operators_are_told_of_the_breakers(serve: Any, redis: RedisServer, config: Any) -> None:
    server = await serve(redis=config(redis.url))
    cache = (await server.application.status()).cache
    assert (cache.redis_read, cache.redis_write) == (admin_pb.BREAKER_STATE_CLOSED, admin_pb.BREAKER_STATE_CLOSED)
    redis.kill()
    for number in range(12):
        assert (await server.summarize(text=f"Number {number} is asked.")).summary
    async with asyncio.timeout(20):
        while (await server.application.status()).cache.redis_read == admin_pb.BREAKER_STATE_CLOSED:
            await asyncio.sleep(0.01)
