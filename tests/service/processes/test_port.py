"""A reserved port: shared by those who are to have it, kept from all others."""

import socket

import pytest

from qdts.errors import ConfigError
from qdts.service.processes.port import ReservedPort


def listener(port: int, *, shares: bool) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shares))
    try:
        one.bind(("127.0.0.1", port))
        one.listen()
    except OSError:
        one.close()
        raise
    return one


def test_sharers_listen_and_others_do_not() -> None:
    port = ReservedPort("127.0.0.1", 0)
    with listener(port.number, shares=True), listener(port.number, shares=True):
        with pytest.raises(OSError):
            listener(port.number, shares=False)
    with pytest.raises(OSError):  # nor while nobody listens
        listener(port.number, shares=False)
    port.close()
    listener(port.number, shares=False).close()


@pytest.mark.parametrize("has_front", [False, True])
def test_second_reservation_is_refused(has_front: bool) -> None:
    port = ReservedPort("127.0.0.1", 0)
    front = listener(port.number, shares=True) if has_front else None
    with pytest.raises(ConfigError, match=str(port.number)):
        ReservedPort("127.0.0.1", port.number)
    if front is not None:
        front.close()
    port.close()


def test_no_connection_waits_on_it() -> None:
    port = ReservedPort("127.0.0.1", 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port.number), timeout=5)
    port.close()


def test_dying_connections_do_not_keep_the_port() -> None:
    with listener(0, shares=False) as old:
        number = old.getsockname()[1]
        with socket.create_connection(("127.0.0.1", number)):
            accepted, _ = old.accept()
            accepted.close()  # first: its side stays in TIME_WAIT
    port = ReservedPort("127.0.0.1", number)
    assert port.number == number
    port.close()


@pytest.mark.parametrize("host", ["[::1]", "0.0.0.0", "localhost"])
def test_hosts_as_grpc_writes_them(host: str) -> None:
    port = ReservedPort(host, 0)
    assert port.number > 0
    port.close()


def test_unknown_host_is_named() -> None:
    with pytest.raises(ConfigError, match="no.such.host.invalid"):
        ReservedPort("no.such.host.invalid", 0)
