"""Peers that connect and do not go on are sent away, and what they held is free again. See also test_abuse.py."""

import asyncio
import contextlib
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import ConfigError
from qdts.service.tls import TlsConfig
from qdts.service.transport import TransportConfig

# Without a bound of ours gRPC waits for two minutes.
HANDSHAKE_S, LONG_BEFORE_GRPC_S = 0.5, 60.0


def client_hello() -> bytes:
    """The first flight of a TLS client."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def stay(port: int, says: bytes = b"") -> float:
    """Connect, say that and no more; seconds until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=LONG_BEFORE_GRPC_S) as peer:
        peer.sendall(says)
        return until_closed(peer)


def stay_after_tls(port: int, ca: Path) -> float:
    """Go through TLS and say nothing over it."""
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", port), timeout=LONG_BEFORE_GRPC_S)
    with context.wrap_socket(plain, server_hostname="localhost") as peer:
        return until_closed(peer)


def until_closed(peer: socket.socket) -> float:
    started_at = time.monotonic()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while peer.recv(65536):
            pass
    return time.monotonic() - started_at


async def test_silent_peers_leave_their_places_to_others(serve: Any, kit: Any) -> None:
    server = await serve(transport=TransportConfig(handshake_timeout_s=HANDSHAKE_S, max_connections=4))
    port = server.application.port
    silent = [asyncio.ensure_future(asyncio.to_thread(stay, port, says)) for says in (b"", b"PRI * HTTP/2.0\r\n")]
    took = await asyncio.gather(*silent)
    assert all(HANDSHAKE_S / 2 < seconds < LONG_BEFORE_GRPC_S for seconds in took), took
    assert (await server.summarize()).summary, "who is through with it is not sent away"


async def test_peers_that_stall_in_tls_are_sent_away(serve: Any, kit: Any, pki: Path) -> None:
    tls = TlsConfig(cert_file=str(pki / "one.pem"), key_file=str(pki / "one.key"))
    transport = TransportConfig(handshake_timeout_s=HANDSHAKE_S)
    application = kit.Application(kit.config(tls=tls, transport=transport), load=lambda config: kit.Model())
    await application.start()
    hello = client_hello()
    took = await asyncio.gather(
        *(asyncio.to_thread(stay, application.port, says) for says in (b"", hello[: len(hello) // 2], hello)),
        asyncio.to_thread(stay_after_tls, application.port, pki / "ca.pem"),
    )
    await application.stop()
    assert all(HANDSHAKE_S / 2 < seconds < LONG_BEFORE_GRPC_S for seconds in took), took


def test_settings_out_of_bounds() -> None:
    with pytest.raises(ConfigError, match=r"transport\.handshake_timeout_s"):
        TransportConfig(handshake_timeout_s=0)
