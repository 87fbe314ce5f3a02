"""Leaving a port: no new connection comes in, those that are there go on and are counted."""

import asyncio
import socket
from collections.abc import AsyncIterator

import grpc
import pytest

from qdts.service.processes.leaving import leave, num_connections, patience_s, stop_listening
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
