"""Connections that speak HTTP/2 with mistakes, and leave."""

import random
import socket
import time
from collections.abc import Callable, Mapping

from qdts.loadtest.fuzzing.findings import Findings

MAX_DATA_BYTES = 16384
LISTEN_S, CONNECT_S = 0.005, 5.0

Payload = Callable[[random.Random], bytes]


def fuzz_connections(
    findings: Findings, opening: bytes, payload: Payload, port: int, *, seed: int, seconds: float
) -> int:
    """Open connections, speak `opening` and data, changed here and there, leave; how many.

    The server must still listen after each.
    """
    rng, ends_at, num = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < ends_at and not findings.crashes:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=CONNECT_S) as peer:
                _speak(peer, rng, opening + _frame(0, 1, 1, payload(rng)[:MAX_DATA_BYTES]))
        except ConnectionRefusedError:
            findings.crashes.append("the server does not listen any more")
        except OSError:
            pass  # it hung up on us, and rightly so
        num += 1
    return num


def opening_of(method: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Preface, settings and the headers of a call, each literal and none indexed (RFC 7541, 6.2.2)."""
    named = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "x"}
    named |= {"te": "trailers", "content-type": "application/grpc", **(headers or {})}
    packed = b"".join(b"\x00" + _text(name) + _text(value) for name, value in named.items())
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"") + _frame(1, 4, 1, packed)


def _speak(peer: socket.socket, rng: random.Random, whole: bytes) -> None:
    stream = bytearray(whole)
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        stream[rng.randrange(len(stream))] = rng.randrange(256)
    peer.sendall(stream)
    peer.settimeout(LISTEN_S)
    peer.recv(4096)


def _text(value: str) -> bytes:
    return bytes((len(value),)) + value.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload
