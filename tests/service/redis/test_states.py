"""States that one process has encoded reach another through Redis, bit for bit, and never at the cost of a call."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from qdts.loadtest.redis_server import RedisServer
from qdts.models.document_states import DocumentStates, PackedStates
from qdts.models.runtimes.base import Ids, States
from qdts.service.redis.states import LOOP_S
from qdts.service.redis.states_codec import StatesCodec


class Counting:
    """Encodes a document as a random matrix of its ids, and counts."""

    def __init__(self) -> None:
        self.num_encoded = 0

    def encode(self, documents: list[Ids]) -> list[States]:
        self.num_encoded += len(documents)
        return [States(hidden=packed(document).unpack().hidden) for document in documents]


def packed(document: Ids, channels: int = 16) -> PackedStates:
    hidden = np.random.default_rng(document.tolist()).normal(size=(len(document), channels)).astype(np.float32)
    return PackedStates.pack(States(hidden=hidden))


def test_states_come_back() -> None:
    codec, states = StatesCodec(b"secret", max_bytes=1 << 20), packed(np.arange(7), 33)
    back = codec.decode("n", codec.encode("n", states))
    assert back is not None
    assert np.array_equal(back.values, states.values) and np.array_equal(back.scales, states.scales)


@pytest.mark.parametrize(
    "damage", [lambda v: v[:-1], lambda v: v + b"x", lambda v: b"", lambda v: v[:40] + bytes([v[40] ^ 1]) + v[41:]]
)
def test_damaged_states_are_absent(damage: Any) -> None:
    codec = StatesCodec(b"secret", max_bytes=1 << 20)
    assert codec.decode("n", damage(codec.encode("n", packed(np.arange(7))))) is None


async def test_another_process_need_not_encode(level: Any, redis: RedisServer, eventually: Any) -> None:
    document, runtimes = np.arange(40), (Counting(), Counting())
    here, there = (DocumentStates(1 << 20, level().states("m@1")) for _ in range(2))
    first = await asyncio.to_thread(here.read, runtimes[0], [document])  # pyright: ignore[reportArgumentType]
    await eventually(lambda: redis.command("DBSIZE") == b":1\r\n")
    await asyncio.to_thread(there.fetch, document, within_s=1)
    assert there.knows(document)
    second = await asyncio.to_thread(there.read, runtimes[1], [document])  # pyright: ignore[reportArgumentType]
    assert np.array_equal(first[0].hidden, second[0].hidden)
    assert [runtime.num_encoded for runtime in runtimes] == [1, 0]


async def test_states_of_another_model_are_not_found(level: Any, redis: RedisServer, eventually: Any) -> None:
    process = level()
    old, new = process.states("m@1"), process.states("m@2")
    old.save(b"d", packed(np.arange(4)))
    await eventually(lambda: redis.command("DBSIZE") == b":1\r\n")
    assert await asyncio.to_thread(new.load, b"d", within_s=1) is None
    assert await asyncio.to_thread(old.load, b"d", within_s=1) is not None


async def test_states_that_are_too_large_are_not_kept(level: Any, redis: RedisServer) -> None:
    store = level(max_states_bytes=256).states("m@1")
    store.save(b"d", packed(np.arange(100)))
    await asyncio.sleep(0.1)
    assert redis.command("DBSIZE") == b":0\r\n"


async def test_a_stopped_redis_costs_a_load_its_budget(level: Any, redis: RedisServer, lag: Any) -> None:
    process = level(budget_ms=20.0)
    await process.open()
    store = process.states("m@1")
    redis.stop()
    started = time.monotonic()
    assert await asyncio.to_thread(store.load, b"d", within_s=1) is None
    took_s = time.monotonic() - started
    redis.go_on()
    assert took_s < lag.allows(0.020 + LOOP_S)


@pytest.mark.parametrize("within_s", [0.02, 0.0])
async def test_a_load_takes_no_longer_than_its_request_has(
    level: Any, redis: RedisServer, within_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qdts.service.redis.commands.SOCKET_TIMEOUT_S", 60.0)
    process = level(budget_ms=10_000.0)
    await process.open()
    store = process.states("m@1")
    redis.stop()
    started = time.monotonic()
    assert await asyncio.to_thread(store.load, b"d", within_s=within_s) is None
    took_s = time.monotonic() - started
    redis.go_on()
    assert took_s < 5


async def test_after_the_loop_has_closed_nothing_is_there(level: Any) -> None:
    store = level().states("m@1")
    closed = asyncio.new_event_loop()
    closed.close()
    store._loop = closed
    store.save(b"d", packed(np.arange(4)))
    assert store.load(b"d", within_s=1) is None


async def test_no_states_are_shared_if_they_are_not_to_be(level: Any) -> None:
    assert level(states=False).states("m@1") is None
