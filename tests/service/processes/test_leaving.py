"""Leaving a port: no new connection comes in, those that are there go on and are counted."""

import asyncio
import socket
from collections.abc import AsyncIterator

import grpc
import pytest

from qdts.service.processes.leaving import (
    HANDSHAKE_S,
    leave,
    num_connections,
    num_waiting,
    patience_s,
    stop_listening,
    turn_away,
)
from qdts.service.transport import TransportConfig

AGE = TransportConfig(max_connection_age_s=1, max_connection_grace_s=60)


@pytest.fixture(name="port")
async def _port() -> AsyncIterator[int]:
    server = grpc.aio.server(options=[("grpc.max_connection_age_ms", 1000)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


async def test_new_connections_are_refused_and_old_ones_stay(port: int) -> None:
    assert num_connections(port) == 0
    with socket.create_connection(("127.0.0.1", port)):
        while num_connections(port) < 1:
            await asyncio.sleep(0.01)
        assert stop_listening(port) == 1
        with pytest.raises(ConnectionRefusedError):
            while True:  # the kernel's side is done at once, gRPC's a moment later
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                await asyncio.sleep(0.01)
        assert num_connections(port) == 1
    while num_connections(port):
        await asyncio.sleep(0.01)


async def test_who_has_begun_to_connect_is_waited_for_and_who_begins_later_is_not_let_in() -> None:
    """A listener that accepts when the test says so."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            assert num_waiting(port) == 1
            turning = asyncio.ensure_future(turn_away(port))
            await asyncio.sleep(3 * HANDSHAKE_S)
            assert not turning.done()
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), 0.2)
            assert num_waiting(port) == 1
            accepted, _ = door.accept()
            accepted.send(b"x")  # what is open goes on
            await asyncio.wait_for(turning, 30)
            assert num_waiting(port) == 0
            accepted.close()


async def test_connection_that_is_turned_away_gets_in_elsewhere() -> None:
    """As TCP's own repetition has it, whichever of the two it was sent to first."""
    with _sharing(0) as old:
        port = old.getsockname()[1]
        await turn_away(port)
        with _sharing(port) as new:
            new.settimeout(30)
            connecting = asyncio.ensure_future(
                asyncio.gather(
                    *(asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), 30) for _ in range(4))
                )
            )
            await asyncio.sleep(0.2)
            old.close()
            for connection in await connecting:
                connection.close()
            for _ in range(4):
                (await asyncio.to_thread(new.accept))[0].close()


def _sharing(port: int) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", port))
    one.listen()
    return one


async def test_other_ports_are_left_alone(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert stop_listening(port) == 1
        socket.create_connection(other.getsockname(), timeout=5).close()


async def test_stop_is_set_when_the_last_has_gone(port: int) -> None:
    stop = asyncio.Event()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    await channel.channel_ready()
    leaving = asyncio.ensure_future(leave(port, AGE, stop))
    await asyncio.sleep(0.2)
    assert not stop.is_set()
    async with asyncio.timeout(30):  # the connection's age ends it, not its owner
        await stop.wait()
    await leaving
    await channel.close()


async def test_one_that_does_not_go_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr("qdts.service.processes.leaving.patience_s", lambda config: 0.2)
    stop = asyncio.Event()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    await channel.channel_ready()
    async with asyncio.timeout(30):
        await leave(port, AGE, stop)
    assert stop.is_set()
    await channel.close()


def test_patience_covers_the_oldest_connection() -> None:
    assert patience_s(TransportConfig()) >= 1.1 * 1800 + 60
