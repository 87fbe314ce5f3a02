"""A front's side of its connection to an engine, and what is in flight on it. What is lost with it fails at once."""

import asyncio
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import cast

from qdts.errors import QdtsError, Unavailable
from qdts.service import logs
from qdts.service.processes import frames, messages
from qdts.service.processes.frames import Kind
from qdts.service.processes.messages import EngineFacts
from qdts.service.scheduler import Generated


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call that has been sent."""

    future: "asyncio.Future[Generated]"
    on_text: Callable[[str], None] | None


class Link(asyncio.Protocol):
    """The connection, and what is in flight on it."""

    def __init__(self) -> None:
        self._reader = frames.FrameReader()
        self._transport: asyncio.Transport | None = None
        self.greeted: asyncio.Future[EngineFacts] = asyncio.get_running_loop().create_future()
        self.calls: dict[int, Waiting] = {}
        self.idle = asyncio.Event()
        self.on_death: Callable[[], None] = lambda: None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def num_unsent(self) -> int:
        """Bytes that wait for the engine to read."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        try:
            frames.check_peer(transport.get_extra_info("socket"))
        except QdtsError as error:
            self.greeted.set_exception(error)
            return self._transport.abort()
        self.send(frames.encode(Kind.HELLO, payload=frames.GREETING))

    def data_received(self, data: bytes) -> None:
        try:
            for kind, number, payload in self._reader.feed(data):
                self._take(kind, number, payload)
        except (QdtsError, ValueError) as error:
            logs.warning("engine_dropped", reason=str(error))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        gone = Unavailable("the engine is gone")
        self._fail_all(gone)
        if not self.greeted.done():
            self.greeted.set_exception(gone)
        self.on_death()

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def forget(self, number: int, *, is_cancelled: bool) -> None:
        """Nobody waits for it any more; the engine is told if it does not know."""
        del self.calls[number]
        if not self.calls:
            self.idle.set()
        if is_cancelled:
            self.send(frames.encode(Kind.CANCEL, number))

    def close(self, error: QdtsError) -> None:
        self._fail_all(error)
        self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _take(self, kind: Kind, number: int, payload: bytes) -> None:
        if kind is Kind.HELLO and not self.greeted.done():
            return self.greeted.set_result(messages.unpack_facts(payload))
        waiting = self.calls.get(number)
        if waiting is None or waiting.future.done():
            return  # cancelled meanwhile
        if kind is Kind.DONE:
            waiting.future.set_result(messages.unpack_generated(payload))
        elif kind is Kind.FAILED:
            waiting.future.set_exception(messages.unpack_error(payload))
        elif kind is Kind.TEXT and waiting.on_text is not None:
            waiting.on_text(payload.decode("utf-8", "surrogatepass"))
        else:
            raise Unavailable(f"a frame {kind.name} that is not due")

    def _fail_all(self, error: QdtsError) -> None:
        for waiting in self.calls.values():
            if not waiting.future.done():
                waiting.future.set_exception(copy(error))  # or each would keep the frames of all
