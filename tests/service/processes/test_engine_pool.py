"""Several engines as one: the shortest wait first, and the others go on where one is lost."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from qdts.errors import Draining, Unavailable
from qdts.models.document import Document
from qdts.service.deadline import Deadline
from qdts.service.processes import engine_pool
from qdts.service.processes.addresses import Addresses
from qdts.service.processes.config import ProcessesConfig
from qdts.service.processes.engine_pool import EnginePool
from qdts.service.processes.remote_engine import RemoteEngine
from qdts.service.request import Priority


@pytest.fixture(name="trio")
async def _trio(hosts: Any, kit: Any, directory: Any) -> Any:
    """Three engines of two places each."""

    async def start(on_death: Any = lambda: None, mode: str = "joint", num_up: int = 3) -> tuple[Any, Any, list[Any]]:
        sections = {
            "processes": ProcessesConfig(fronts=1, engines=3, directory=str(directory)),
            "engine": kit.Engine(max_batch=2, max_queue=100, mode=mode),
        }
        started = [await hosts.engine(index=index, **sections) for index in range(num_up)]
        pool, reader = await hosts.front(kit.Model(), on_death, **sections)
        return pool, reader, started

    return start


def ask(pool: Any, reader: Any, text: str) -> "asyncio.Future[Any]":
    prompt = reader.prepare("q", Document(text=text), max_words=1000)
    return asyncio.ensure_future(pool.generate(prompt, deadline=Deadline.after(20)))


async def test_calls_are_shared_out(trio: Any, eventually: Any, monkeypatch: Any) -> None:
    # Equally fast: what each of them took for its warm-up is chance.
    monkeypatch.setattr(RemoteEngine, "taken_s", 0.1)
    pool, reader, started = await trio()
    models = [model for _, model in started]
    assert (pool.num_places, pool.capacity, pool.next_batch) == (6, 306, 1)
    for model in models:
        model.gate.clear()
    work = list[Any]()
    for number in range(12):
        work.append(ask(pool, reader, f"Number {number}."))
        await eventually(lambda: pool.num_inside == len(work))
    assert [host._engine.num_inside for host, _ in started] == [4, 4, 4]
    assert pool.next_batch == 2 and pool.wait_s(Priority.INTERACTIVE) > 0
    with pool.expecting(Priority.BULK):
        assert pool.num_inside == 13
    for model in models:
        model.gate.set()
    assert [(await each).summary.text for each in work] == [f"Number {number}." for number in range(12)]


async def test_one_that_is_busy_is_passed_by(trio: Any, eventually: Any) -> None:
    pool, reader, started = await trio()
    model = started[0][1]
    model.gate.clear()
    held = [ask(pool, reader, "One two three.") for _ in range(9)]
    await eventually(lambda: started[0][0]._engine.num_inside >= 2)
    await eventually(lambda: sum(each.done() for each in held) >= 5)
    stuck = started[0][0]._engine.num_inside
    for number in range(20):
        await ask(pool, reader, f"Number {number}.")
    assert started[0][0]._engine.num_inside == stuck
    model.gate.set()
    await asyncio.gather(*held)


async def test_one_is_lost_and_the_others_go_on(trio: Any, hosts: Any, eventually: Any) -> None:
    died = threading.Event()
    pool, reader, started = await trio(died.set)
    lost = started[1][0]
    await lost.stop()
    hosts.hosts.remove(lost)
    await eventually(lambda: len(pool._engines) == 2)
    answers = await asyncio.gather(*(ask(pool, reader, f"Number {number}.") for number in range(20)))
    assert len(answers) == 20 and pool.is_alive and not died.is_set()
    await hosts.engine(index=1)
    await eventually(lambda: len(pool._engines) == 3)


async def test_what_is_in_flight_on_a_lost_one_is_not_sent_to_another(trio: Any, eventually: Any) -> None:
    """What killed one may kill all."""
    pool, reader, started = await trio()
    for _, model in started:
        model.gate.clear()
    work = [ask(pool, reader, f"Number {number}.") for number in range(6)]
    await eventually(lambda: all(host._engine.num_inside == 2 for host, _ in started))
    for connection in [*started[2][0]._door.connections]:
        connection._transport.abort()
    await eventually(lambda: len(pool._engines) == 2)
    for _, model in started:
        model.gate.set()
    answers = await asyncio.gather(*work, return_exceptions=True)
    assert Counter(type(answer).__name__ for answer in answers) == {"Generated": 4, "Unavailable": 2}


async def test_all_are_lost(trio: Any, hosts: Any, eventually: Any) -> None:
    died = list[int]()
    pool, reader, started = await trio(lambda: died.append(1))
    for host, _ in started:
        await host.stop()
        hosts.hosts.remove(host)
    await eventually(lambda: not pool.is_alive)
    with pytest.raises(Unavailable, match="no engine is there"):
        await ask(pool, reader, "One.")
    assert died == [1]


async def test_those_that_are_not_there_yet_are_tried_further(trio: Any, hosts: Any, kit: Any, eventually: Any) -> None:
    pool, reader, _ = await trio(num_up=1)
    assert len(pool._engines) == 1 and pool.num_places == 6
    assert (await ask(pool, reader, "One.")).summary.text == "One."
    await hosts.engine(index=2)
    await eventually(lambda: len(pool._engines) == 2)


async def test_documents_stay_with_the_engine_that_has_read_them(trio: Any) -> None:
    """The fake reader's key is the text's length."""
    pool, reader, started = await trio(mode="indexed")
    for length in range(12):
        before = [model.num_starts for _, model in started]
        for number in range(5):
            await ask(pool, reader, "x" * length + f"{number}.")
        counts = [model.num_starts - old for (_, model), old in zip(started, before, strict=True)]
        assert sorted(counts) == [0, 0, 5]
    assert all(model.num_starts for _, model in started), "different documents are shared out"


async def test_and_go_elsewhere_where_that_one_has_no_time(trio: Any, eventually: Any) -> None:
    pool, reader, started = await trio(mode="indexed")
    for length in range(12):  # all have worked before: one that has not is thought to be slow
        await ask(pool, reader, "x" * length + "00.")
    before = [model.num_starts for _, model in started]
    await ask(pool, reader, "One.")
    [own] = [number for number, (_, model) in enumerate(started) if model.num_starts > before[number]]
    started[own][1].gate.clear()
    work = list[Any]()
    for number in range(30):
        work.append(ask(pool, reader, f"{number:03}."))
        await asyncio.sleep(0.002)
    await eventually(lambda: sum(each.done() for each in work) >= 20)
    started[own][1].gate.set()
    await asyncio.gather(*work)


class Connecting:
    """Connects a pool to engines; `after[index]` is told of each connection, the first included, as it is there."""

    def __init__(self, hosts: Any, num_engines: int) -> None:
        self._hosts = hosts
        self.after: dict[int, Callable[[RemoteEngine], Awaitable[None]]] = {}
        self.made: list[tuple[int, RemoteEngine]] = []
        config = hosts.config().admission
        self.pool = EnginePool(num_engines, self._connect, config, is_sticky=False)

    def num_made(self, index: int) -> int:
        return sum(number == index for number, _ in self.made)

    async def _connect(self, index: int) -> RemoteEngine:
        addresses = Addresses(self._hosts.directory)
        engine = await RemoteEngine.connect(addresses, 1, index, self._hosts.config().admission)
        self.made.append((index, engine))
        if index in self.after:
            await self.after[index](engine)
        return engine


@pytest.fixture(name="connecting")
async def _connecting(hosts: Any) -> AsyncIterator[Callable[[int], Awaitable[Connecting]]]:
    """connecting(num_engines): so many engines, and a pool of them that is not open yet."""
    made: list[Connecting] = []

    async def connecting(num_engines: int) -> Connecting:
        for index in range(num_engines):
            await hosts.engine(index=index)
        made.append(Connecting(hosts, num_engines))
        return made[-1]

    yield connecting
    for each in made:
        await each.pool.close(Draining("bye"), timeout_s=0)


def num_looking() -> int:
    """Tasks that look for an engine."""
    return sum(getattr(task.get_coro(), "__name__", "") == "_try_until_there" for task in asyncio.all_tasks())


async def hang_up(engine: RemoteEngine) -> None:
    engine._link.abort()


async def test_one_that_greets_and_is_gone_is_not_there(connecting: Any) -> None:
    ours = await connecting(1)
    ours.after[0] = hang_up
    with pytest.raises(Unavailable, match="no engine is there"):
        await ours.pool.open()


async def test_one_lost_while_another_is_greeted_is_connected_to_once(
    connecting: Any, hosts: Any, eventually: Any
) -> None:
    ours, go = await connecting(3), asyncio.Event()

    async def wait(engine: RemoteEngine) -> None:
        await go.wait()

    ours.after[2] = wait
    opening = asyncio.ensure_future(ours.pool.open())
    await eventually(lambda: len(ours.made) == 3)
    [lost] = [engine for index, engine in ours.made if index == 1]
    await hang_up(lost)
    ours.after[1] = hang_up  # and again, as often as it is found
    go.set()
    await opening
    assert sorted(ours.pool._engines) == [0, 2] and num_looking() == 1
    await eventually(lambda: ours.num_made(1) >= 3)
    assert num_looking() == 1
    del ours.after[1]
    await eventually(lambda: len(ours.pool._engines) == 3 and not num_looking())
    found = ours.pool._engines[1]
    await eventually(lambda: hosts.hosts[1]._door.num_fronts == 1)
    ours.pool._lost(1, lost)  # which says nothing of the one that is there
    assert ours.pool._engines[1] is found and not num_looking()


async def test_open_that_is_given_up_leaves_no_connection(connecting: Any, hosts: Any, eventually: Any) -> None:
    ours = await connecting(2)

    async def wait(engine: RemoteEngine) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await hang_up(engine)

    ours.after[1] = wait
    opening = asyncio.ensure_future(ours.pool.open())
    await eventually(lambda: len(ours.made) == 2)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    assert not any(engine.is_alive for _, engine in ours.made)


async def test_one_with_another_model_is_not_asked(
    connecting: Any, hosts: Any, kit: Any, eventually: Any, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(engine_pool, "REFUSED_RETRY_S", 0.01)
    ours = await connecting(2)
    assert (await ours.pool.open()).version == "fake@0123"

    async def restart(model: Any) -> None:
        await hosts.hosts.pop().stop()
        await eventually(lambda: [*ours.pool._engines] == [0])
        await hosts.engine(model, index=1)

    await restart(kit.Model(version="other@2"))
    before = ours.num_made(1)
    await eventually(lambda: ours.num_made(1) > before + 2)
    assert [*ours.pool._engines] == [0] and ours.pool.is_alive
    assert capfd.readouterr().err.count('"event": "engine_refused"') == 1, "it is said once"
    await restart(kit.Model())
    await eventually(lambda: sorted(ours.pool._engines) == [0, 1])


async def test_engines_of_two_models_are_no_pool(hosts: Any, kit: Any) -> None:
    await hosts.engine()
    await hosts.engine(kit.Model(version="other@2"), index=1)
    pool = Connecting(hosts, 2).pool
    assert (await pool.open()).version == "fake@0123"
    assert [*pool._engines] == [0]
    await pool.close(Draining("bye"), timeout_s=0)
