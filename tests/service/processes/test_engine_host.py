"""The parts of an engine process together, in this event loop."""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from qdts.errors import ConfigError, Draining, Unavailable, WeightsError
from qdts.loadtest.redis_server import RedisServer, find_redis_server
from qdts.models.document import Document
from qdts.service.deadline import Deadline
from qdts.service.processes.board import STALE_S, BoardReader
from qdts.service.processes.engine_host import EngineHost, EnginePlace
from qdts.service.redis.config import RedisConfig


@pytest.fixture(name="redis")
def _redis() -> Iterator[RedisServer]:
    if find_redis_server() is None and not os.environ.get("QDTS_REQUIRE_REDIS"):
        pytest.skip("redis-server is not on PATH: apt-get install redis-server, or set QDTS_REQUIRE_REDIS to fail here")
    with RedisServer() as server:
        yield server


def ask(engine: Any, reader: Any, text: str = "One two three.") -> "asyncio.Future[Any]":
    prompt = reader.prepare("q", Document(text=text), max_words=1000)
    return asyncio.ensure_future(engine.generate(prompt, deadline=Deadline.after(20)))


ASKED = "One two three."


def sharing(kit: Any) -> tuple[Any, list[str]]:
    """A model that keeps states, and what it was told."""
    told = list[str]()

    def share_states(model: Any, store: Any) -> None:
        told.append(type(store).__name__)

    def fetch(model: Any, prompt: Any, *, within_s: float) -> None:
        if prompt.sentence.text == ASKED:  # else it is the warm-up's
            told.append(f"within {within_s:.0f} s" if 20 < within_s else prompt.sentence.text)

    kind = type("Sharing", (kit.Model,), {"share_states": share_states, "fetch": fetch})
    return kind(), told


async def test_states_that_others_have_are_fetched_before_a_call_joins(
    hosts: Any, kit: Any, redis: RedisServer
) -> None:
    model, told = sharing(kit)
    sections = {
        "redis": RedisConfig(url=redis.url, secret="a secret of tests, long enough"),
        "engine": kit.Engine(max_batch=2, mode="indexed"),
    }
    await hosts.engine(model, **sections)
    engine, reader = await hosts.front(model, **sections)
    await ask(engine, reader)
    assert told == ["RedisStates", ASKED], "and waited for no longer than its caller has"


@pytest.mark.parametrize("mode", ["joint", "indexed"])
async def test_and_not_where_there_are_none(hosts: Any, kit: Any, mode: str) -> None:
    model, told = sharing(kit)
    settings = kit.Engine(mode=mode)
    await hosts.engine(model, engine=settings)
    engine, reader = await hosts.front(model, engine=settings)
    await ask(engine, reader)
    assert told == []


async def test_the_board_says_how_busy_it_is(hosts: Any, kit: Any, eventually: Any) -> None:
    host, model = await hosts.engine(engine=kit.Engine(max_batch=2, max_queue=10))
    engine, reader = await hosts.front(model)
    board = BoardReader(host._place.addresses.board(1, 0))

    def said() -> Any:
        load = board.read()
        assert load is not None
        return load

    assert (said().num_places, said().max_queue, said().version, said().num_fronts) == (2, 10, "fake@0123", 1)
    assert said().num_inside == 0 and said().called_at is None and not said().is_draining
    model.gate.clear()
    before = time.monotonic()
    work = [ask(engine, reader) for _ in range(5)]
    await eventually(lambda: said().called_at is not None and said().num_inside == 5)
    await eventually(lambda: said().num_running == 2)
    assert before <= said().called_at <= time.monotonic() and said().taken_s is not None
    model.gate.set()
    await asyncio.gather(*work)
    # At once, not with the next beat: who is answered must not find its own call counted.
    assert said().num_inside == 0


async def test_it_says_that_it_lives_where_nothing_happens(hosts: Any, eventually: Any) -> None:
    host, _ = await hosts.engine()
    board = BoardReader(host._place.addresses.board(1, 0))
    first = board.read()
    assert first is not None
    await eventually(lambda: (board.read() or first).at > first.at)
    assert first.age_s() < STALE_S


async def test_an_engine_whose_thread_ends_ends_its_process(hosts: Any, kit: Any, eventually: Any) -> None:
    host, model = await hosts.engine()
    engine, reader = await hosts.front(model)
    running = asyncio.ensure_future(host.run_until(asyncio.Event()))
    model.start_error = SystemExit()
    with pytest.raises(Unavailable):
        await ask(engine, reader)
    assert await asyncio.wait_for(running, 10) == 1


async def test_told_to_stop_is_no_failure(hosts: Any) -> None:
    host, _ = await hosts.engine()
    stop = asyncio.Event()
    stop.set()
    assert await host.run_until(stop) == 0


async def test_a_drain_does_not_last_longer_than_its_bound(hosts: Any, kit: Any, eventually: Any) -> None:
    host, model = await hosts.engine(server=kit.Listen(port=0, drain_grace_s=0.05))
    engine, reader = await hosts.front(model)
    model.gate.clear()
    waits = [ask(engine, reader) for _ in range(6)]
    await eventually(lambda: host._engine.num_inside == 6)
    asyncio.get_running_loop().call_later(0.3, model.gate.set)
    await asyncio.wait_for(host.stop(), 20)
    hosts.hosts.remove(host)
    answers = await asyncio.gather(*waits, return_exceptions=True)
    assert sum(isinstance(answer, (Draining, Unavailable)) for answer in answers) >= 2, "those in the queue"


async def test_a_model_that_fails_its_warm_up_does_not_start(hosts: Any, kit: Any, directory: Any) -> None:
    with pytest.raises(WeightsError, match="warm-up"):
        await hosts.engine(kit.Model(invents=True))
    assert [*directory.iterdir()] == []


async def test_no_model_is_nothing_to_run(hosts: Any, kit: Any, directory: Any) -> None:
    place = EnginePlace(addresses=(await hosts.engine())[0]._place.addresses, generation=2, index=0)
    host = EngineHost(replace(hosts.config(), engine=kit.Engine(model="none")), place)
    with pytest.raises(ConfigError, match=r"engine\.model"):
        await host.start()
    await host.stop()


async def test_fronts_that_are_still_there_when_it_ends_are_no_fault(hosts: Any, eventually: Any) -> None:
    faults = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    host, model = await hosts.engine()
    engine, reader = await hosts.front(model)
    await ask(engine, reader)
    await host.stop()
    hosts.hosts.remove(host)
    await eventually(lambda: not engine.is_alive and not host._door.connections)
    assert faults == []
