"""Entries that processes share, and turns among them: each level below is a process of its own to Redis."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from qdts.loadtest.redis_server import RedisServer
from qdts.models.document import Span, Summary, SummarySentence
from qdts.service.cache import Entry, Lifetimes
from qdts.service.deadline import Deadline
from qdts.service.reply import Reply, Rung

KEY = b"k" * 32


def entry(text: str = "Built in 1874.", **fields: Any) -> Entry:
    summary = Summary(sentences=(SummarySentence(text=text, source=Span(0, 14)),), coverage=1.0)
    return Entry(**{"reply": Reply(summary=summary, rung=Rung.FULL, origin_rung=Rung.FULL), "fresh_s": 60.0, **fields})


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


async def kept(level: Any, made: Entry = entry(), key: bytes = KEY) -> None:  # noqa: B008
    level.replies.settle(key, made, None)
    await level.replies.close()


async def test_one_process_keeps_and_another_finds(level: Any) -> None:
    await kept(level())
    found = await level().replies.get(KEY, soon())
    assert found is not None and found.is_fresh
    assert replace(found, age_s=0.0) == entry()


async def test_another_secret_finds_nothing(level: Any) -> None:
    await kept(level())
    other = level(secret="another secret, as long")
    assert await other.replies.get(KEY, soon()) is None


async def test_stale_is_found_as_stale_and_then_gone(level: Any, redis: RedisServer) -> None:
    writer = level(lifetimes=Lifetimes(ttl_s=0.1, stale_s=0.4))
    await kept(writer, entry(fresh_s=0.1))
    await asyncio.sleep(0.15)
    found = await writer.replies.get(KEY, soon())
    assert found is not None and not found.is_fresh
    await asyncio.sleep(0.45)
    assert await writer.replies.get(KEY, soon()) is None
    assert redis.command("DBSIZE") == b":0\r\n"


async def test_a_damaged_value_is_a_miss_and_counted(level: Any, redis: RedisServer) -> None:
    writer = level()
    await kept(writer)
    name = writer._names.reply(KEY)
    redis.command("SETRANGE", name, "25", "!")
    assert await writer.replies.get(KEY, soon()) is None
    assert writer._metrics._errors.labels("read", "corrupt")._value.get() == 1
    await kept(writer)
    assert await writer.replies.get(KEY, soon()) is not None


async def test_a_value_moved_to_another_name_is_a_miss(level: Any, redis: RedisServer) -> None:
    writer = level()
    await kept(writer)
    redis.command("COPY", writer._names.reply(KEY), writer._names.reply(b"o" * 32))
    assert await writer.replies.get(b"o" * 32, soon()) is None


async def test_what_is_too_large_is_not_kept(level: Any, redis: RedisServer) -> None:
    await kept(level(max_value_bytes=256), entry("".join(map(chr, range(33, 1000)))))
    assert redis.command("DBSIZE") == b":0\r\n"


async def test_redis_sees_no_text_in_keys_and_each_key_has_its_time(level: Any, redis: RedisServer) -> None:
    writer = level()
    await kept(writer)
    await writer.replies.claim(b"o" * 32, soon())
    names = [line for line in redis.command("KEYS", "*").split(b"\r\n") if line.startswith(b"qdts:")]
    assert sorted(name[-2:] for name in names) == [b":l", b":r"]
    for name in names:
        tag = name[name.index(b"{") + 1 : name.index(b"}")]
        assert len(tag) == 43, "256 bits"
        assert int(redis.command("PTTL", name.decode())[1:-2]) > 0


async def test_second_claim_waits_for_the_first_ones_reply(level: Any) -> None:
    first, second = level(), level()
    claim = await first.replies.claim(KEY, soon())
    waiting = asyncio.ensure_future(second.replies.claim(KEY, soon()))
    await asyncio.sleep(0.1)
    assert claim.token and not waiting.done()
    first.replies.settle(KEY, entry(), claim.token)
    found = await asyncio.wait_for(waiting, 1.0)
    assert found.token is None and found.found.reply == entry().reply


async def test_holder_that_made_nothing_leaves_the_turn_to_the_next(level: Any) -> None:
    first, second = level(lease_ms=60_000), level(lease_ms=60_000)
    claim = await first.replies.claim(KEY, soon())
    waiting = asyncio.ensure_future(second.replies.claim(KEY, soon()))
    await asyncio.sleep(0.05)
    first.replies.settle(KEY, None, claim.token)
    assert (await asyncio.wait_for(waiting, 1.0)).token is not None


async def test_when_the_holder_dies_another_takes_over(level: Any) -> None:
    dead, heir = level(lease_ms=300), level(lease_ms=1000)
    assert (await dead.replies.claim(KEY, soon())).token
    started = time.monotonic()
    claim = await heir.replies.claim(KEY, soon())
    assert claim.token is not None and claim.found is None
    assert 0.15 < time.monotonic() - started < 0.8


async def test_waiting_keeps_half_of_the_time_for_making(level: Any) -> None:
    holder, hasty = level(lease_ms=60_000), level(lease_ms=60_000)
    await holder.replies.claim(KEY, soon(60))
    started = time.monotonic()
    claim = await hasty.replies.claim(KEY, soon(0.4))
    assert (claim.found, claim.token) == (None, None)
    assert 0.1 < time.monotonic() - started < 0.3


async def test_a_lease_that_was_granted_too_late_is_given_back(level: Any, redis: RedisServer, eventually: Any) -> None:
    process = level(lease_ms=60_000, budget_ms=50.0)
    assert await process.replies.get(KEY, soon()) is None  # and is connected
    redis.stop()
    claim = await process.replies.claim(KEY, soon(60))
    assert claim.found is None
    redis.go_on()
    lease = process.replies._names.lease(KEY)
    await eventually(lambda: redis.command("EXISTS", lease) == b":1\r\n")
    process.replies.settle(KEY, None, claim.token)
    await eventually(lambda: redis.command("EXISTS", lease) == b":0\r\n")


async def test_a_lease_whose_claimant_left_is_given_back(level: Any, redis: RedisServer, eventually: Any) -> None:
    process = level(lease_ms=60_000, budget_ms=2000.0)
    assert await process.replies.get(KEY, soon()) is None
    redis.stop()
    claiming = asyncio.ensure_future(process.replies.claim(KEY, soon(60)))
    await asyncio.sleep(0.1)
    claiming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    redis.go_on()
    await eventually(lambda: redis.command("EXISTS", process.replies._names.lease(KEY)) == b":0\r\n")


async def test_a_lease_outlives_neither_its_bound_nor_the_holders_deadline(level: Any, redis: RedisServer) -> None:
    holder = level(lease_ms=5000)
    for key, seconds, most in ((b"a" * 32, 60, 5000), (b"b" * 32, 1, 1000)):
        await holder.replies.claim(key, soon(seconds))
        left_ms = int(redis.command("PTTL", holder._names.lease(key))[1:-2])
        assert most - 500 < left_ms <= most


async def test_without_redis_everybody_makes_their_own(level: Any, redis: RedisServer) -> None:
    process = level()
    redis.kill()
    started = time.monotonic()
    assert (await process.replies.claim(KEY, soon())).found is None
    assert time.monotonic() - started < 0.5
    await kept(process)  # nothing raised


@pytest.mark.parametrize("num", [20])
async def test_of_many_processes_one_gets_leave(level: Any, num: int) -> None:
    levels = [level() for _ in range(num)]
    claims = [asyncio.ensure_future(process.replies.claim(KEY, soon())) for process in levels]
    await asyncio.sleep(0.2)
    [winner] = [place for place, claim in enumerate(claims) if claim.done()]
    token = claims[winner].result().token
    levels[winner].replies.settle(KEY, entry(), token)
    results = await asyncio.wait_for(asyncio.gather(*claims), 5.0)
    assert [claim.found is None for claim in results].count(True) == 1
