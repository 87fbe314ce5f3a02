"""An engine process's side of its fronts' connections: calls in, texts and summaries out.

A front that goes takes its calls with it. One that does not read is not read from, misses texts on the way, and is
dropped when that lasts: it holds up nobody but itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from qdts.errors import Draining, QdtsError, QueueFull, Unavailable
from qdts.service import logs
from qdts.service.deadline import Deadline
from qdts.service.engine_face import EngineFace
from qdts.service.processes import frames, messages
from qdts.service.processes.frames import Frame, Kind
from qdts.service.processes.messages import Call, EngineFacts
from qdts.service.scheduler import Prompt

MAX_FRONTS = 512
# For a front to say what it is, and to read what was written to it
GREETING_S = 5.0
STUCK_S = 5.0
# More unread bytes than that, and no more is written but what was begun.
MAX_UNREAD = 1 << 20

Unpack = Callable[[bytes | memoryview], Prompt]
Fetch = Callable[[Prompt, Deadline], Awaitable[None]]


class FrontsDoor:
    """All connections of one engine. `changed` is called when calls or a front have come or gone. Event loop only."""

    def __init__(
        self,
        engine: EngineFace,
        facts: EngineFacts,
        *,
        unpack: Unpack,
        changed: Callable[[], None],
        fetch: Fetch | None = None,
        stuck_s: float = STUCK_S,
    ) -> None:
        self.engine, self.facts = engine, facts
        self.unpack, self.changed, self.fetch = unpack, changed, fetch
        self.stuck_s = stuck_s
        self.is_draining = False
        self.connections: set[FrontConnection] = set()

    @property
    def num_fronts(self) -> int:
        """Connections whose front has said what it is."""
        return sum(connection.is_greeted for connection in self.connections)

    @property
    def num_calls(self) -> int:
        """Calls that are not answered yet."""
        return sum(connection.num_calls for connection in self.connections)

    def open(self) -> "FrontConnection":
        """The protocol of a new connection."""
        return FrontConnection(self)

    def close(self) -> None:
        """Drop everybody."""
        for connection in [*self.connections]:
            connection.close()


class FrontConnection(asyncio.Protocol):
    """One front's."""

    def __init__(self, door: FrontsDoor) -> None:
        self._door = door
        self._reader = frames.FrameReader()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._texts: dict[int, str] = {}  # the last of each call, while nothing can be written
        self._is_paused = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.is_greeted = False

    @property
    def num_calls(self) -> int:
        """Calls that are not answered yet."""
        return len(self._calls)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=MAX_UNREAD)
        try:
            frames.check_peer(transport.get_extra_info("socket"))
            if len(self._door.connections) >= MAX_FRONTS:
                raise Unavailable(f"there are {MAX_FRONTS} connections already")
        except QdtsError as error:
            return self._drop(str(error))
        self._door.connections.add(self)
        self._timer = self._loop.call_later(GREETING_S, self._drop, "it did not say what it is")

    def data_received(self, data: bytes) -> None:
        """The next bytes. The first that are not as they should be end the connection."""
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except (QdtsError, ValueError) as error:
            self._drop(str(error))
        self._loop.call_soon(self._door.changed)  # once the calls among them are in the engine's queue

    def connection_lost(self, exc: Exception | None) -> None:
        """Its calls are nobody's any more."""
        self._cancel_timer()
        for task in self._calls.values():
            task.cancel()
        self._door.connections.discard(self)
        self._door.changed()

    def pause_writing(self) -> None:
        """It has not read what was written."""
        self._is_paused = True
        assert self._transport is not None
        self._transport.pause_reading()
        self._timer = self._loop.call_later(self._door.stuck_s, self._drop, "it does not read")

    def resume_writing(self) -> None:
        """It has."""
        self._is_paused = False
        self._cancel_timer()
        assert self._transport is not None
        self._transport.resume_reading()
        texts, self._texts = self._texts, {}
        for call, text in texts.items():
            self._show(call, text)

    def close(self) -> None:
        """End it; what was written is still sent."""
        if self._transport is not None:
            self._transport.close()

    def _take(self, frame: Frame) -> None:
        if not self.is_greeted:
            return self._greet(frame)
        if frame.kind is Kind.CANCEL:
            if task := self._calls.get(frame.call):
                task.cancel()
        elif frame.kind is Kind.GENERATE and frame.call not in self._calls:
            self._begin(frame.call, messages.unpack_call(frame.payload))
        else:
            raise Unavailable(f"a frame {frame.kind.name} that is not due")

    def _greet(self, frame: Frame) -> None:
        if frame.kind is not Kind.HELLO or frame.payload != frames.GREETING:
            raise Unavailable("it is no front of this version")
        self.is_greeted = True
        self._cancel_timer()
        self._write(Kind.HELLO, 0, messages.pack_facts(self._door.facts))
        self._door.changed()

    def _begin(self, number: int, call: Call) -> None:
        door = self._door
        if door.is_draining:
            return self._write(Kind.FAILED, number, messages.pack_error(Draining("the engine is about to end")))
        if len(self._calls) >= door.engine.capacity:
            return self._write(Kind.FAILED, number, messages.pack_error(QueueFull("as many calls as the engine takes")))
        task = asyncio.ensure_future(self._answer(number, call))
        self._calls[number] = task
        task.add_done_callback(lambda _: self._forget(number))  # one that is cancelled early never begins

    async def _answer(self, number: int, call: Call) -> None:
        kind, payload = Kind.FAILED, messages.pack_error(Unavailable("the engine could not take it"))
        try:
            payload = messages.pack_generated(await self._generate(number, call))
            kind = Kind.DONE
        except QdtsError as error:
            payload = messages.pack_error(error)
        finally:
            # First, as in the engine: whoever is answered must not find its own call still counted.
            self._forget(number)
            self._write(kind, number, payload)

    def _forget(self, number: int) -> None:
        if self._calls.pop(number, None) is not None:
            self._texts.pop(number, None)
            self._door.changed()

    async def _generate(self, number: int, call: Call) -> messages.Generated:
        try:
            prompt = self._door.unpack(call.prompt)
        except ValueError as error:
            raise Unavailable("its prompt cannot be read") from error
        deadline = Deadline(call.deadline_at)
        if self._door.fetch is not None:
            await self._door.fetch(prompt, deadline)
        return await self._door.engine.generate(
            prompt,
            deadline=deadline,
            priority=call.priority,
            num_tokens=call.num_tokens,
            on_text=(lambda text: self._show(number, text)) if call.wants_text else None,
        )

    def _show(self, number: int, text: str) -> None:
        if number not in self._calls:
            return
        if self._is_paused:
            self._texts[number] = text
        else:
            self._write(Kind.TEXT, number, text.encode("utf-8", "surrogatepass"))

    def _write(self, kind: Kind, number: int, payload: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.encode(kind, number, payload))

    def _drop(self, reason: str) -> None:
        logs.warning("front_dropped", reason=reason)
        self._cancel_timer()
        if self._transport is not None:
            self._transport.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
