"""What comes from one connection, or does not, is no other's trouble."""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from qdts.errors import Draining, Unavailable
from qdts.models.document import Document
from qdts.service.deadline import Deadline
from qdts.service.processes import frames, fronts_door, messages
from qdts.service.processes.frames import Kind
from qdts.service.processes.messages import Call
from qdts.service.request import Priority

HELLO = frames.encode(Kind.HELLO, payload=frames.GREETING)


def a_call(number: int, text: str = "One two.", *, wants_text: bool = False, seconds: float = 60) -> bytes:
    call = Call(
        prompt=json.dumps([text, None, 1.0]).encode(),
        deadline_at=time.monotonic() + seconds,
        priority=Priority.INTERACTIVE,
        num_tokens=1,
        wants_text=wants_text,
    )
    return frames.encode(Kind.GENERATE, number, messages.pack_call(call))


@pytest.fixture(name="raw")
async def _raw(hosts: Any) -> AsyncIterator[Any]:
    """raw(host): a connection as bytes, from somebody who may be anybody."""
    writers: list[asyncio.StreamWriter] = []

    async def connect(host: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(str(host._socket))
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()


async def ends(reader: asyncio.StreamReader) -> bool:
    """Whether the other side closes, whatever it says before."""
    async with asyncio.timeout(20):
        try:
            while await reader.read(1 << 16):
                continue
        except ConnectionError:
            pass
    return True


async def answer(engine: Any, reader: Any, text: str = "All is well.") -> str:
    prompt = reader.prepare("q", Document(text=text), max_words=1000)
    return (await engine.generate(prompt, deadline=Deadline.after(20))).summary.text


BAD_AFTER_HELLO = {
    "an unknown kind": b"\0\0\0\0\x63" + bytes(8),
    "a size beyond the bound": b"\xff\xff\xff\xff\x02" + bytes(8),
    "what only engines say": frames.encode(Kind.DONE, 1, b"[]"),
    "a second greeting": HELLO,
    "a call that is none": frames.encode(Kind.GENERATE, 1, b"x"),
    "a call of no priority": frames.encode(Kind.GENERATE, 1, bytes(18)),
    "a number used twice": a_call(1, "word " * 50) + a_call(1),
}


@pytest.mark.parametrize("bad", BAD_AFTER_HELLO.values(), ids=BAD_AFTER_HELLO.keys())
async def test_what_is_no_front_of_ours_is_dropped_and_nobody_else(hosts: Any, kit: Any, raw: Any, bad: bytes) -> None:
    host, model = await hosts.engine(kit.Model(step_s=0.001))
    engine, reader = await hosts.front(model)
    work = [asyncio.ensure_future(answer(engine, reader, f"Number {i} of many.")) for i in range(10)]
    theirs, writer = await raw(host)
    writer.write(HELLO + bad)
    assert await ends(theirs)
    assert [await each for each in work] == [f"Number {i} of many." for i in range(10)]
    assert await answer(engine, reader) == "All is well."


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n\r\n", a_call(1), frames.encode(Kind.HELLO, payload=b"qdts 0.0.0")]
)
async def test_who_does_not_say_what_it_is_is_dropped(hosts: Any, raw: Any, first: bytes) -> None:
    host, _ = await hosts.engine()
    theirs, writer = await raw(host)
    writer.write(first + bytes(100))
    assert await ends(theirs)
    assert host._door.num_fronts == 0


async def test_who_says_nothing_is_dropped(hosts: Any, raw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts_door, "GREETING_S", 0.05)
    host, _ = await hosts.engine()
    theirs, _ = await raw(host)
    assert await ends(theirs)


async def test_random_bytes_from_many_harm_nobody(hosts: Any, kit: Any, raw: Any, eventually: Any) -> None:
    host, model = await hosts.engine()
    engine, reader = await hosts.front(model)
    random = Random(5)
    for round_ in range(60):
        theirs, writer = await raw(host)
        garbage = bytearray(HELLO + a_call(1) + a_call(2)) if round_ % 2 else bytearray(HELLO)
        for _ in range(8 * (round_ % 2)):
            garbage[random.randrange(len(garbage))] = random.randrange(256)
        writer.write(bytes(garbage) + random.randbytes(200))
        writer.write_eof()
        assert await answer(engine, reader) == "All is well."
    await eventually(lambda: len(host._door.connections) == 1, timeout_s=20)
    assert host._engine.is_alive and host._door.num_calls == 0


async def test_another_users_process_is_dropped(hosts: Any, raw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _ = await hosts.engine()
    user = os.geteuid()
    monkeypatch.setattr(frames.os, "geteuid", lambda: user + 1)
    theirs, writer = await raw(host)
    writer.write(HELLO)
    assert await ends(theirs)


async def test_a_front_that_does_not_read_holds_up_nobody_and_is_dropped(
    hosts: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for texts that grow, more than any buffer holds, and reads not one."""
    host, model = await hosts.engine(kit.Model(), engine=kit.Engine(max_batch=4, max_queue=100))
    host._door.stuck_s = 0.5
    engine, reader = await hosts.front(model)
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.setblocking(False)
        await asyncio.get_running_loop().sock_connect(stuck, str(host._socket))
        stuck.send(HELLO + b"".join(a_call(number, "word " * 4_000, wants_text=True) for number in range(3)))
        most, rounds = 0, 0
        async with asyncio.timeout(60):
            while len(host._door.connections) < 2:
                await asyncio.sleep(0.001)
            [theirs] = [each for each in host._door.connections if each._transport is not only_transport(host, engine)]
            while len(host._door.connections) > 1:
                assert await answer(engine, reader) == "All is well."
                most, rounds = max(most, theirs._transport.get_write_buffer_size()), rounds + 1
    assert rounds > 1
    assert most <= fronts_door.MAX_UNREAD + 100_000, "what it does not read is not kept for it"
    assert host._door.num_calls == 0


def only_transport(host: Any, engine: Any) -> Any:
    """The one that has been greeted longest: the front's that reads."""
    first = [each for each in host._door.connections if each.num_calls == 0 and each.is_greeted]
    return first[0]._transport if first else None


async def test_a_slow_reader_misses_texts_and_gets_the_last_and_the_summary(
    hosts: Any, kit: Any, eventually: Any
) -> None:
    host, model = await hosts.engine(kit.Model())
    reader, writer = await asyncio.open_unix_connection(str(host._socket), limit=1 << 16)
    text = "word " * 1_500 + "end."
    writer.write(HELLO + a_call(1, text, wants_text=True))
    await eventually(lambda: any(each._is_paused for each in host._door.connections), timeout_s=20)
    got, frames_in = list[frames.Frame](), frames.FrameReader()
    async with asyncio.timeout(30):
        while not got or got[-1].kind is not Kind.DONE:
            data = await reader.read(1 << 20)
            assert data, "it was dropped"
            got += frames_in.feed(data)
    texts = [frame.payload.decode() for frame in got if frame.kind is Kind.TEXT]
    assert len(texts) < 1_500
    assert all(text.startswith(part) for part in texts) and texts == sorted(texts, key=len)
    assert messages.unpack_generated(got[-1].payload).summary.text == text
    writer.close()


async def test_more_calls_than_the_engine_takes_are_refused_one_by_one(hosts: Any, kit: Any, raw: Any) -> None:
    host, model = await hosts.engine(engine=kit.Engine(max_batch=1, max_queue=3))
    model.gate.clear()
    theirs, writer = await raw(host)
    writer.write(HELLO + b"".join(a_call(number) for number in range(1, 11)))
    frames_in, got = frames.FrameReader(), list[frames.Frame]()
    async with asyncio.timeout(20):
        while sum(frame.kind is Kind.FAILED for frame in got) < 6:
            got += frames_in.feed(await theirs.read(1 << 16))
        model.gate.set()
        while len(got) < 11:
            got += frames_in.feed(await theirs.read(1 << 16))
    # Four at most fit; how many do depends on whether the engine takes the first before the last comes.
    assert 3 <= sum(frame.kind is Kind.DONE for frame in got) <= 4
    errors = [messages.unpack_error(frame.payload) for frame in got if frame.kind is Kind.FAILED]
    assert {type(error).__name__ for error in errors} == {"QueueFull"}


async def test_a_cancel_of_what_is_over_changes_nothing(hosts: Any, kit: Any, raw: Any) -> None:
    host, model = await hosts.engine()
    theirs, writer = await raw(host)
    writer.write(HELLO + frames.encode(Kind.CANCEL, 77) + a_call(1))
    frames_in, got = frames.FrameReader(), list[frames.Frame]()
    async with asyncio.timeout(20):
        while len(got) < 2:
            got += frames_in.feed(await theirs.read(1 << 16))
    assert [frame.kind for frame in got] == [Kind.HELLO, Kind.DONE]


async def test_no_more_connections_than_the_bound(hosts: Any, raw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts_door, "MAX_FRONTS", 3)
    host, model = await hosts.engine()
    for _ in range(3):
        _, writer = await raw(host)
        writer.write(HELLO)
    theirs, _ = await raw(host)
    assert await ends(theirs)
    assert len(host._door.connections) == 3


async def test_an_engine_that_ends_takes_nothing_new(hosts: Any, kit: Any, eventually: Any) -> None:
    host, model = await hosts.engine()
    engine, reader = await hosts.front(model)
    model.gate.clear()
    runs = asyncio.ensure_future(answer(engine, reader))
    await eventually(lambda: model.num_steps == 1)
    ending = asyncio.ensure_future(host.stop())
    await eventually(lambda: host._door.is_draining)
    with pytest.raises((Draining, Unavailable)):
        await answer(engine, reader)
    model.gate.set()
    assert await runs == "All is well."
    await ending
    await eventually(lambda: not engine.is_alive)
    hosts.hosts.remove(host)
