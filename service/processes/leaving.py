"""How a front goes without a call that fails: it takes no new connection, and waits until those it has have gone.

gRPC answers calls that meet its end on the wire with CANCELLED, and whoever watches health on a port that others share,
too, would see "not serving" though a new connection would reach one that is. What is free of both is the
renewal of connections (transport.max_connection_age_s): callers are told in time, on a server that goes on.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from qdts.service import logs
from qdts.service.transport import TransportConfig

LOOK_EVERY_S = 0.1
# A connection that has begun is there after a round trip; then gRPC must have taken it.
HANDSHAKE_S, MAX_ACCEPT_S = 0.1, 5.0
# gRPC spreads the age of connections by so much, lest all come back at once.
AGE_JITTER = 0.1
_DESCRIPTORS = Path("/proc/self/fd")

# Classic BPF (linux/filter.h) on the TCP header: SYN without ACK is dropped, all else passes.
_SYN_FILTER = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF))
)
_SO_ATTACH_FILTER = 26
# Of struct tcp_info (linux/tcp.h): tcpi_unacked, which of a listener is what waits to be accepted.
_WAITING = struct.Struct("=24xI")


async def leave(port: int, config: TransportConfig, stop: asyncio.Event) -> None:
    """Take no new connection on the port; `stop` is set when the last has gone, or is sent away."""
    await turn_away(port)
    num_closed = stop_listening(port)
    logs.info("leaving", listeners=num_closed, connections=num_connections(port))
    await _wait_for(lambda: not num_connections(port), patience_s(config))
    stop.set()


async def turn_away(port: int) -> None:
    """Let no new connection begin here, and take all that have begun: the end of a listener resets those.

    Who is turned away knocks again after a second, as for any lost packet, at the door of another.
    """
    for one in _sockets(port):
        if _listens(one):
            program = ctypes.create_string_buffer(_SYN_FILTER, len(_SYN_FILTER))
            fields = struct.pack("HP", len(_SYN_FILTER) // 8, ctypes.addressof(program))
            one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fields)
    await asyncio.sleep(HANDSHAKE_S)
    await _wait_for(lambda: not num_waiting(port), MAX_ACCEPT_S)


def num_waiting(port: int) -> int:
    """Connections to a port of this process's that nobody has accepted yet."""
    return sum(
        _WAITING.unpack(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size))[0]
        for one in _sockets(port)
        if _listens(one)
    )


def patience_s(config: TransportConfig) -> float:
    """How long the last connection may last: to its renewal, and what it may finish then."""
    return (1 + AGE_JITTER) * config.max_connection_age_s + config.max_connection_grace_s


def stop_listening(port: int) -> int:
    """End this process's listening on a port, whoever in it began that; how many sockets did."""
    count = 0
    for one in _sockets(port):
        if _listens(one):
            one.shutdown(socket.SHUT_RDWR)
            count += 1
    return count


def num_connections(port: int) -> int:
    """Connections to a port of this process's."""
    return sum(not _listens(one) and _is_connected(one) for one in _sockets(port))


async def _wait_for(is_done: Callable[[], bool], within_s: float) -> None:
    ends_at = asyncio.get_running_loop().time() + within_s
    while not is_done() and asyncio.get_running_loop().time() < ends_at:
        await asyncio.sleep(LOOK_EVERY_S)


def _sockets(port: int) -> Iterator[socket.socket]:
    """This process's TCP sockets on a port, each for as long as it is looked at. gRPC does not tell its own."""
    for name in os.listdir(_DESCRIPTORS):
        with contextlib.suppress(OSError):  # it may have been closed meanwhile
            if not os.readlink(_DESCRIPTORS / name).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockname()[1] == port:
                    yield one


def _listens(one: socket.socket) -> bool:
    return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _is_connected(one: socket.socket) -> bool:
    try:
        one.getpeername()
    except OSError:
        return False
    return True
