"""A TCP proxy that misbehaves when told: slow, resetting, talking nonsense, silent."""

import asyncio
import contextlib
import itertools
import socket
import struct
from enum import Enum
from types import TracebackType
from typing import Self

CHUNK = 1 << 16
# Not RESP at all, cut short, of the wrong type, and longer than it will ever be.
NONSENSE: tuple[bytes, ...] = (
    b"\x00\xff nonsense \xfe\r\n",
    b"$5\r\nab\r\n",
    b":many\r\n",
    b"*2\r\n+O",
    b"+OK\r\n",
    b"$999999999\r\nx",
)


class Fault(Enum):
    """What happens to bytes."""

    NONE = "none"
    SLOW = "slow"
    RESET = "reset"
    GARBAGE = "garbage"
    SILENCE = "silence"


class FaultProxy:
    """Forwards to a port of this machine within an `async with` block; `fault` holds for open connections, too."""

    def __init__(self, upstream_port: int, *, delay_s: float = 1.0) -> None:
        self.fault = Fault.NONE
        self._upstream_port = upstream_port
        self._delay_s = delay_s
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._nonsense = itertools.cycle(NONSENSE)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """The same, for Redis."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._forward(reader, writer)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault is Fault.RESET:
            return _reset(writer)
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        pumps = (self._pump(reader, upstream_writer, None), self._pump(upstream_reader, writer, self._nonsense))
        tasks = [asyncio.ensure_future(pump) for pump in pumps]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self.fault is Fault.RESET:
                _reset(writer)
        finally:
            upstream_writer.transport.abort()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, nonsense: "itertools.cycle[bytes] | None"
    ) -> None:
        """One way; nonsense is said in the place of what comes back."""
        while chunk := await reader.read(CHUNK):
            if self.fault is Fault.RESET:
                return
            if self.fault is Fault.SILENCE:
                continue
            if nonsense is not None and self.fault is Fault.GARBAGE:
                chunk = next(nonsense)
            elif nonsense is not None and self.fault is Fault.SLOW:
                await asyncio.sleep(self._delay_s)
            writer.write(chunk)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
