"""Frames on a Unix socket: a header of fixed size, then so many bytes. What stands in them is messages.py's.

A peer is a process of the same user, and says so before anything else; what it sends is read as numbers and JSON, so
that there is nothing in it to run.
"""

import os
import socket
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from qdts import __version__
from qdts.errors import Unavailable, Unsupported

# Payload's bytes, kind, call
_HEADER = struct.Struct("<IBQ")
# More than the largest document that may be read, which its prompt carries.
MAX_PAYLOAD = 64 << 20
# The first payload of a front. Who says something else is not one of ours, or of another release: what follows is read
# differently there, as may happen while a package is being replaced below a running server.
GREETING = f"qdts {__version__}".encode()
_PEER = struct.Struct("iII")  # process, user, group


class Kind(IntEnum):
    """What a frame is. From a front: HELLO, GENERATE, CANCEL. From an engine: HELLO, TEXT, DONE, FAILED."""

    HELLO = 1
    GENERATE = 2
    CANCEL = 3
    TEXT = 4
    DONE = 5
    FAILED = 6


class Frame(NamedTuple):
    """One frame. Calls are numbered by the front, anew on each connection."""

    kind: Kind
    call: int
    payload: bytes


def encode(kind: Kind, call: int = 0, payload: bytes = b"") -> bytes:
    """The frame as bytes. Unavailable if it is too large for anybody to take."""
    if len(payload) > MAX_PAYLOAD:
        raise Unavailable(f"a payload of {len(payload)} bytes: must be at most {MAX_PAYLOAD}")
    return _HEADER.pack(len(payload), kind, call) + payload


class FrameReader:
    """Cuts a stream into frames; holds at most one that is not complete."""

    def __init__(self, max_payload: int = MAX_PAYLOAD) -> None:
        self._buffer = bytearray()
        self._max_payload = max_payload

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now. Unavailable at the first bytes that are no frame."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            size, kind, call = _HEADER.unpack_from(self._buffer)
            if not Kind.HELLO <= kind <= Kind.FAILED or size > self._max_payload:
                raise Unavailable(f"no frame: kind {kind}, {size} bytes")
            end = _HEADER.size + size
            if len(self._buffer) < end:
                return
            payload = bytes(memoryview(self._buffer)[_HEADER.size : end])
            del self._buffer[:end]
            yield Frame(Kind(kind), call, payload)


def check_peer(connection: socket.socket) -> None:
    """Unavailable unless the process at the other end is our user's; Unsupported where the system cannot tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise Unsupported("processes.fronts: this system does not say whose process a connection is")
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, _ = _PEER.unpack(peer)
    if user != os.geteuid():
        raise Unavailable(f"a connection from a process of user {user}: must be {os.geteuid()}'s")
