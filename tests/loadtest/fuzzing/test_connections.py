"""Connections that speak broken HTTP/2: what they say where nothing was changed, and nobody there is found."""

import random
import socket
import threading
from typing import Any

from qdts.loadtest.bench_startup import free_port
from qdts.loadtest.fuzzing.connections import fuzz_connections, opening_of
from qdts.loadtest.fuzzing.findings import Findings

OPENING = opening_of("/a.Service/Method", {"authorization": "Bearer x"})


def payload(rng: random.Random) -> bytes:
    return b"data"


def test_server_that_is_not_there_is_found() -> None:
    findings = Findings()
    num = fuzz_connections(findings, OPENING, payload, free_port(), seed=1, seconds=5)
    assert num == 1 and findings.crashes == ["the server does not listen any more"]


def test_what_is_said_is_http2_changed_here_and_there() -> None:
    """Of the same length always; whole in the share of cases that change nothing."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        server.settimeout(30)

        def listen() -> None:
            for _ in range(50):
                peer, _ = server.accept()
                with peer:
                    peer.settimeout(30)
                    said = b""
                    while len(said) < len(OPENING) + 13 and (chunk := peer.recv(4096)):
                        said += chunk
                    heard.append(said)

        listener = threading.Thread(target=listen)
        listener.start()
        findings, num = Findings(), 0
        while listener.is_alive():  # one at a time, each with a seed of its own
            num += fuzz_connections(findings, OPENING, payload, server.getsockname()[1], seed=num, seconds=0.001)
        listener.join()
    whole = OPENING + b"\x00\x00\x04\x00\x01\x00\x00\x00\x01data"
    assert len(heard) == 50 and {len(said) for said in heard} == {len(whole)}
    assert findings.crashes == []
    num_whole = heard.count(whole)
    assert 0 < num_whole < 50


def test_an_opening_is_headers_that_any_http2_library_reads() -> None:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import RequestReceived

    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    [request] = [event for event in connection.receive_data(OPENING) if isinstance(event, RequestReceived)]
    headers: dict[Any, Any] = dict(request.headers or ())
    assert headers[":path"] == "/a.Service/Method" and headers["authorization"] == "Bearer x"
