"""An engine behind a socket does what one in this process does, and lets go of what nobody waits for."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from qdts.errors import DeadlineExceeded, Draining, QdtsError, QueueFull, Unavailable
from qdts.models.document import Document
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service.admission_config import AdmissionConfig
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.processes import board, frames, messages, remote_engine
from qdts.service.processes.addresses import Addresses
from qdts.service.processes.frames import Kind
from qdts.service.processes.messages import EngineFacts
from qdts.service.processes.remote_engine import RemoteEngine
from qdts.service.request import Priority

LONG = "word " * 200 + "end."


def prompt(reader: Any, text: str) -> Any:
    return reader.prepare("q", Document(text=text), max_words=1000)


def ask(engine: Any, reader: Any, text: str, seconds: float = 10, **how: Any) -> "asyncio.Future[Any]":
    return asyncio.ensure_future(engine.generate(prompt(reader, text), deadline=Deadline.after(seconds), **how))


def only(pool: Any) -> Any:
    [engine] = pool._engines.values()
    return engine


async def outcome(work: "asyncio.Future[Any]") -> Any:
    """What a caller gets, times left aside: those are measured."""
    try:
        return (await work).summary
    except QdtsError as error:
        return type(error), str(error)


def random_texts(count: int, seed: int = 1) -> list[str]:
    """Some that cannot be read, some whose summary cannot be."""
    random = Random(seed)
    words = ["one", "two", "three", "天地", "naïve", "😀"]
    firsts = ["Poison", "Mute"] + 18 * ["Fine"]
    return [
        " ".join([random.choice(firsts), *random.choices(words, k=random.randint(0, 9))]) + "." for _ in range(count)
    ]


async def test_answers_equal_those_of_an_engine_in_this_process(kit: Any, hosts: Any) -> None:
    """Summaries, errors and their words, one by one and all at once."""
    texts = ["Fine.", *random_texts(300)]
    faults = {"poison": "Poison", "unspeakable": "Mute"}
    model = kit.Model(**faults)
    local = Engine(model, max_batch=4, max_queue=400, max_encode_tokens=1000)
    local.start(lambda: None)
    expected = [await outcome(ask(local, model, text)) for text in texts]
    await asyncio.to_thread(local.stop, Draining("bye"), timeout_s=5)
    assert 10 < sum(isinstance(answer, tuple) for answer in expected) < 100

    config = hosts.config(engine=kit.Engine(max_batch=4, max_queue=400))
    _, remote_model = await hosts.engine(kit.Model(**faults), engine=config.engine)
    engine, reader = await hosts.front(remote_model, engine=config.engine)
    assert [await outcome(ask(engine, reader, text)) for text in texts] == expected
    together = await asyncio.gather(*(outcome(ask(engine, reader, text, 60)) for text in texts))
    assert together == expected
    assert max(remote_model.batch_sizes) > 1


async def test_text_grows_word_by_word(hosts: Any, kit: Any) -> None:
    _, model = await hosts.engine(kit.Model(step_s=0.002))
    engine, reader = await hosts.front(model)
    heard: list[str] = []
    done = await engine.generate(
        prompt(reader, "One two three four."), deadline=Deadline.after(10), on_text=heard.append
    )
    assert heard == ["One", "One two", "One two three"]
    assert done.summary.text == "One two three four."
    assert done.decode_ms == pytest.approx(8) and done.queue_ms >= 0


async def test_a_cancelled_call_gives_up_its_place_within_one_step(hosts: Any, kit: Any, eventually: Any) -> None:
    host, model = await hosts.engine(engine=kit.Engine(max_batch=1, max_queue=10))
    engine, reader = await hosts.front(model, engine=kit.Engine(max_batch=1, max_queue=10))
    model.gate.clear()
    gone = ask(engine, reader, LONG)
    await eventually(lambda: model.num_steps == 1)
    waits = ask(engine, reader, "Quick.")
    await eventually(lambda: host._engine.num_waiting == 1)
    gone.cancel()
    await eventually(lambda: host._door.num_calls == 1)
    model.gate.set()
    assert (await waits).summary.text == "Quick."
    assert (model.num_steps, model.num_cancelled) == (2, 1)
    assert host.metrics.value("qdts_wasted_steps_total") == 1


async def test_deadlines_count_on_both_sides(hosts: Any, kit: Any, eventually: Any) -> None:
    host, model = await hosts.engine(kit.Model(step_s=0.01))
    engine, reader = await hosts.front(model)
    # The engine's side: what is sent says when it is due, and the engine ends it though nobody takes it back.
    async with asyncio.timeout(10):
        with pytest.raises(DeadlineExceeded):
            await ask(engine, reader, LONG, seconds=0.1)
        await eventually(lambda: host._engine.num_inside == 0)
    assert model.num_written < 100
    # The front's side: an engine that hangs does not make its callers hang.
    model.gate.clear()
    started_at = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await ask(engine, reader, "Quick.", seconds=0.2)
    assert time.monotonic() - started_at < 5
    model.gate.set()


async def test_the_engine_ends_what_is_late_by_itself(hosts: Any, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host, model = await hosts.engine(kit.Model(step_s=0.01))
    engine, reader = await hosts.front(model)

    class NoTimeout:
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None: ...

    monkeypatch.setattr(remote_engine.asyncio, "timeout", lambda seconds: NoTimeout())
    with pytest.raises(DeadlineExceeded, match="while the summary was being written"):
        await ask(engine, reader, LONG, seconds=0.1)
    assert host._engine.num_inside == 0


async def test_one_poisoned_prompt_fails_alone(hosts: Any, kit: Any) -> None:
    """One that the engine cannot unpack, one that it cannot count, one that the model cannot read."""
    _, model = await hosts.engine(kit.Model(poison="Poison", step_s=0.001))
    engine, reader = await hosts.front(model)
    unreadable = type(prompt(reader, "x."))(data=b"{not json", key=0)
    uncountable = type(unreadable)(data=b"[5, null, 1.0]", key=0)
    work = [ask(engine, reader, f"Fine {i}.") for i in range(10)]
    work += [
        asyncio.ensure_future(engine.generate(bad, deadline=Deadline.after(10))) for bad in (unreadable, uncountable)
    ]
    work += [ask(engine, reader, "Poison one.")]
    work += [ask(engine, reader, f"Fine {i}.") for i in range(10, 20)]
    answers = await asyncio.gather(*(outcome(each) for each in work))
    assert [answer.text for answer in (*answers[:10], *answers[13:])] == [f"Fine {i}." for i in range(20)]
    assert [kind for kind, _ in answers[10:13]] == 3 * [Unavailable]
    assert engine.is_alive


async def test_bounds_of_the_queue_are_the_engines(hosts: Any, kit: Any, eventually: Any) -> None:
    settings = kit.Engine(max_batch=1, max_queue=2)
    host, model = await hosts.engine(engine=settings)
    engine, reader = await hosts.front(model, engine=settings)
    model.gate.clear()
    work = [ask(engine, reader, "One.")]
    await eventually(lambda: model.num_steps == 1)
    work += [ask(engine, reader, "Two.") for _ in range(2)]
    await eventually(lambda: host._engine.num_waiting == 2)
    with pytest.raises(QueueFull):
        await ask(engine, reader, "Three.")
    model.gate.set()
    assert len([await each for each in work]) == 3
    assert engine.capacity == 3


async def test_load_is_read_from_the_board(hosts: Any, kit: Any, eventually: Any) -> None:
    """That of all fronts together, with what this one has sent and what it expects."""
    settings = kit.Engine(max_batch=2, max_queue=50)
    _, model = await hosts.engine(engine=settings)
    one, reader = await hosts.front(model, engine=settings)
    other, _ = await hosts.front(model, engine=settings)
    assert (one.num_inside, one.num_places, one.next_batch, one.wait_s(Priority.BULK)) == (0, 2, 1, 0.0)
    model.gate.clear()
    work = [ask(other, reader, "One two.") for _ in range(2)]
    await eventually(lambda: model.num_steps == 1)
    work += [ask(other, reader, "One two.", priority=Priority.BULK) for _ in range(6)]
    await eventually(lambda: one.num_waiting == 6)
    assert (one.num_inside, one.next_batch) == (8, 2)
    assert one.wait_s(Priority.BULK) > one.wait_s(Priority.INTERACTIVE) > 0
    with one.expecting(Priority.INTERACTIVE):
        assert one.num_inside == 9
    mine = ask(one, reader, "One two.")
    await asyncio.sleep(0)
    assert one.num_inside >= 8
    await eventually(lambda: one.num_inside == 9)
    model.gate.set()
    await asyncio.gather(*work, mine)
    await eventually(lambda: one.num_inside == 0)


async def test_what_was_sent_counts_before_the_engine_has_seen_it(hosts: Any, kit: Any) -> None:
    settings = kit.Engine(max_batch=1, max_queue=50)
    _, model = await hosts.engine(engine=settings)
    engine, reader = await hosts.front(model, engine=settings)
    work = [
        asyncio.ensure_future(engine.generate(prompt(reader, "One."), deadline=Deadline.after(9))) for _ in range(5)
    ]
    await asyncio.sleep(0)  # sent, and the engine, in this loop, has had no turn
    assert engine.num_inside == 5 and engine.wait_s(Priority.INTERACTIVE) > 0
    await asyncio.gather(*work)


async def test_what_an_engine_said_long_ago_is_not_believed(
    hosts: Any, kit: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = await hosts.engine()
    engine, reader = await hosts.front(model)
    now = [time.monotonic()]
    member = only(engine)
    member._clock = lambda: now[0]
    assert member.is_ready
    now[0] += 3600
    assert not member.is_ready and member.is_alive
    assert (engine.num_waiting, engine.num_inside, engine.wait_s(Priority.INTERACTIVE)) == (0, 0, 0.0)
    with pytest.raises(Unavailable, match="has said nothing"):
        await ask(engine, reader, "One.")
    now[0] = time.monotonic()
    assert (await ask(engine, reader, "One.")).summary.text == "One."


async def test_a_lost_connection_fails_what_is_in_flight_at_once(hosts: Any, kit: Any, eventually: Any) -> None:
    host, model = await hosts.engine()
    died = threading.Event()
    engine, reader = await hosts.front(model, on_death=died.set)
    model.gate.clear()
    work = [ask(engine, reader, LONG) for _ in range(20)]
    await eventually(lambda: model.num_steps == 1)
    for connection in [*host._door.connections]:
        connection._transport.abort()
    started_at = time.monotonic()
    answers = await asyncio.gather(*(outcome(each) for each in work))
    assert {kind for kind, _ in answers} == {Unavailable}
    assert time.monotonic() - started_at < 5
    assert died.is_set() and not engine.is_alive
    with pytest.raises(Unavailable):
        await ask(engine, reader, "One.")
    model.gate.set()
    await eventually(lambda: host._engine.num_inside == 0)


async def test_stop_waits_for_what_is_in_flight_and_then_does_not(hosts: Any, kit: Any, eventually: Any) -> None:
    host, model = await hosts.engine(kit.Model(step_s=0.005))
    engine, reader = await hosts.front(model)
    work = ask(engine, reader, "One two three four.")
    await eventually(lambda: model.num_steps >= 1)
    stopping = asyncio.ensure_future(asyncio.to_thread(engine.stop, Draining("bye"), timeout_s=10))
    assert (await work).summary.text == "One two three four."
    await stopping
    with pytest.raises((Draining, Unavailable)):
        await ask(engine, reader, "One.")
    other, _ = await hosts.front(model)
    model.gate.clear()
    hangs = ask(other, reader, LONG)
    await eventually(lambda: host._engine.num_inside == 1)
    await asyncio.to_thread(other.stop, Draining("bye"), timeout_s=0.05)
    with pytest.raises(Draining):
        await hangs
    model.gate.set()
    await eventually(lambda: host._engine.num_inside == 0 and not host._door.connections)


async def test_an_engine_that_takes_nothing_is_sent_no_more(
    hosts: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = await hosts.engine()
    engine, reader = await hosts.front(model)
    monkeypatch.setattr(remote_engine, "MAX_UNSENT", -1)
    with pytest.raises(Unavailable, match="does not take"):
        await ask(engine, reader, "One.")


async def test_no_engine_listens(hosts: Any, kit: Any, directory: Any) -> None:
    """Only its board is there: that of one that was killed."""
    host, _ = await hosts.engine()
    connect = remote_engine.RemoteEngine.connect
    with pytest.raises(Unavailable, match="no engine listens"):
        await connect(host._place.addresses, 1, 7, hosts.config().admission)
    board.BoardWriter(directory / "engine-1-7.board")
    with pytest.raises(Unavailable, match="no engine listens"):
        await connect(host._place.addresses, 1, 7, hosts.config().admission)


async def test_ten_thousand_cancelled_calls_leave_nothing(hosts: Any, kit: Any, eventually: Any) -> None:
    settings = kit.Engine(max_batch=8, max_queue=200)
    host, model = await hosts.engine(kit.Model(), engine=settings)
    engine, reader = await hosts.front(model, engine=settings)
    await ask(engine, reader, "Well.")
    random = Random(3)
    tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    answered = 0
    for _ in range(100):
        work = [ask(engine, reader, "word " * random.randint(0, 9) + "end.") for _ in range(100)]
        for each in random.sample(work, 90):
            if random.random() < 0.2:
                await asyncio.sleep(0)
            each.cancel()
        answers = await asyncio.gather(*work, return_exceptions=True)
        answered += sum(not isinstance(answer, BaseException) for answer in answers)
    await eventually(lambda: host._engine.num_inside == 0 and host._door.num_calls == 0)
    assert 1_000 <= answered < 9_000
    [connection] = host._door.connections
    assert not connection._texts and not only(engine)._link.calls
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    assert len(os.listdir("/proc/self/fd")) <= files
    assert (await ask(engine, reader, "Well.")).summary.text == "Well."


class Door(asyncio.Protocol):
    """An engine that greets when the test lets it, with a board that it has written just before."""

    def __init__(self, directory: Path) -> None:
        self._addresses = Addresses(directory)
        self._transport: asyncio.Transport | None = None
        self._is_there, self._is_lost = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> "AsyncIterator[asyncio.Future[RemoteEngine]]":
        """Within the block somebody connects to it, and is there."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: self, str(self._addresses.socket(1, 0)))
        async with server:
            connecting = asyncio.ensure_future(RemoteEngine.connect(self._addresses, 1, 0, AdmissionConfig()))
            await asyncio.wait_for(self._is_there.wait(), 20)
            yield connecting
            await asyncio.wait_for(self._is_lost.wait(), 20)

    def write_board(self, num_running: int) -> None:
        queued = dict.fromkeys(Priority, 0)
        load = board.Load(
            at=time.monotonic() + 60, num_places=9, max_queue=9, num_running=num_running, queued=queued, num_fronts=0
        )
        board.BoardWriter(self._addresses.board(1, 0)).write(load)

    def greet(self) -> None:
        info = RuntimeInfo(name="fake", precision="fp32", device="cpu", num_threads=1)
        facts = EngineFacts(version="m@1", info=info, num_places=9, max_queue=9)
        assert self._transport is not None
        self._transport.write(frames.encode(Kind.HELLO, 0, messages.pack_facts(facts)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._is_there.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost.set()


async def test_the_board_is_of_the_engine_that_greets(directory: Path) -> None:
    """Not of one that ended before it listened."""
    door = Door(directory)
    door.write_board(num_running=1)
    async with door.listening() as connecting:
        door.write_board(num_running=5)
        door.greet()
        engine = await connecting
        assert engine.num_running == 5
        await engine.close(Draining("bye"), timeout_s=0)


async def test_who_gives_up_connecting_leaves_no_connection(directory: Path) -> None:
    door = Door(directory)
    door.write_board(num_running=1)
    async with door.listening() as connecting:
        connecting.cancel()
    assert connecting.cancelled()


async def test_an_engine_without_a_board_is_hung_up_on(directory: Path) -> None:
    door = Door(directory)
    async with door.listening() as connecting:
        door.greet()
        with pytest.raises(Unavailable, match="no board"):
            await connecting


async def test_nobody_gets_the_error_of_another(hosts: Any, kit: Any, eventually: Any) -> None:
    """One that is raised again and again would keep the frames of all who got it, and with them their documents."""
    host, model = await hosts.engine()
    engine, reader = await hosts.front(model)
    member, given = only(engine), Draining("bye")
    model.gate.clear()
    work = [ask(member, reader, LONG) for _ in range(3)]
    await eventually(lambda: host._engine.num_inside == 3)
    await member.close(given, timeout_s=0)
    errors = [*await asyncio.gather(*work, return_exceptions=True)]
    for _ in range(3):
        with pytest.raises(Draining, match="bye") as caught:
            await member.generate(prompt(reader, "One."), deadline=Deadline.after(10))
        errors.append(caught.value)
    assert {type(error) for error in errors} == {Draining} and len({id(error) for error in errors}) == 6
    assert given.__traceback__ is None and given not in errors
    model.gate.set()
