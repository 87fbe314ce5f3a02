"""Peers that keep no rules, against a server in a process of its own: others are answered, and memory stays.

CVE-2023-44487 is the flood of resets; bombs are messages that are small only while they are compressed.
"""

import contextlib
import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

h2 = pytest.importorskip("h2", reason="comes with qdts[dev]")

from h2.config import H2Configuration  # noqa: E402
from h2.connection import H2Connection  # noqa: E402
from h2.events import ConnectionTerminated, ResponseReceived, StreamEnded  # noqa: E402
from h2.settings import SettingCodes, Settings  # noqa: E402

PROGRAM = (
    "import os, sys; from qdts.service import main, config; sys.exit(main.run(config.load_config(None, os.environ)))"
)
METHOD = "/qdts.v1.SummarizationService/"
ENHANCE_YOUR_CALM, CANCEL = 11, 8
GOAWAY = 7
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MIB = 1 << 20
# What others may see of an abuse: twice what they see without, or so much where that is less.
FLOOR_S = 0.5


class Server:
    """`qdts serve` without a model, and what can be seen of it from outside."""

    def __init__(self, **settings: object) -> None:
        defaults = {"SERVER__PORT": 0, "SERVER__DRAIN_DELAY_S": 0, "METRICS__PORT": 0, "ENGINE__MODEL": "none"}
        env = {f"QDTS_{name}": str(value) for name, value in (defaults | settings).items()}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=os.environ | env, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        ready = next(json.loads(line) for line in self.process.stderr if '"ready"' in line)
        self.port, self._admin_port = ready["port"], ready["admin_port"]
        # What nobody reads would one day fill the pipe, and then the server waits for its log.
        self._reading = threading.Thread(target=self.process.stderr.read)
        self._reading.start()

    def memory_peak_mib(self) -> float:
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

    def count(self, sample: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin_port}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample)), 0.0)

    def ask(self, number: int) -> float:
        """Be a well-behaved client; seconds it took."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            stub: Any = pb_grpc.SummarizationServiceStub(channel)
            started_at = time.perf_counter()
            request = pb.SummarizeRequest(query="When?", document=pb.Document(text=f"It was {number}. It stands."))
            assert stub.Summarize(request, timeout=10).summary
            return time.perf_counter() - started_at

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever was done to it, it drains."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=20) == 0
        self._reading.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[Server]:
    with Server(TRANSPORT__WRITE_TIMEOUT_S=0.3) as server:
        yield server


class Others:
    """Well-behaved calls from a thread of its own over one connection, one after the other, within the block."""

    def __init__(self, server: Server) -> None:
        self._port = server.port
        self.took_s: list[float] = []
        self.faults: list[grpc.RpcError] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Others":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _ask(self) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self._port}") as channel:
            stub: Any = pb_grpc.SummarizationServiceStub(channel)
            number = 0
            while not self._end.wait(0.02):
                number += 1
                started_at = time.perf_counter()
                try:
                    assert stub.Summarize(request(f"Call {number} of {id(self)}. It stands."), timeout=10).summary
                except grpc.RpcError as error:
                    self.faults.append(error)
                self.took_s.append(time.perf_counter() - started_at)

    def wait_for(self, num_calls: int) -> None:
        """Until so many more have ended, in 60 s."""
        goal, ends_at = len(self.took_s) + num_calls, time.monotonic() + 60
        while len(self.took_s) < goal:
            assert time.monotonic() < ends_at, (len(self.took_s), self.faults[:1])
            time.sleep(0.01)

    @property
    def p99_s(self) -> float:
        """Nearest rank."""
        return sorted(self.took_s)[math.ceil(0.99 * len(self.took_s)) - 1]


@contextlib.contextmanager
def others_unharmed(server: Server) -> Iterator[Others]:
    """Calls beside what is done within the block: none fails, and their p99 is as bounded by calls before it."""
    with Others(server) as before:
        before.wait_for(50)
    with Others(server) as meanwhile:
        yield meanwhile
        meanwhile.wait_for(1)
    assert before.faults == meanwhile.faults == []
    assert meanwhile.p99_s <= max(2 * before.p99_s, FLOOR_S), (before.p99_s, meanwhile.p99_s)


class Peer:
    """One HTTP/2 connection in the test's hands."""

    def __init__(self, port: int, window: int = 65535) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.http = H2Connection(H2Configuration(client_side=True))
        first = {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.ENABLE_PUSH: 0}
        self.http.local_settings = Settings(client=True, initial_values=first)
        self.http.initiate_connection()
        self.flush()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.http.data_to_send())

    def open(self, stream: int, method: str, *more: tuple[str, str]) -> None:
        fixed = ((":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", METHOD + method))
        self.http.send_headers(stream, [*fixed, ("content-type", "application/grpc"), ("te", "trailers"), *more])

    def send(self, stream: int, message: bytes, *, is_compressed: bool = False) -> None:
        """A whole message, in as many frames as the server's window takes."""
        data = struct.pack(">BI", is_compressed, len(message)) + message
        while data:
            size = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size, len(data))
            if size == 0:
                self.receive()
                continue
            self.http.send_data(stream, data[:size], end_stream=size == len(data))
            data = data[size:]
            self.flush()

    def receive(self) -> list[Any]:
        """What comes next; ConnectionError at the end."""
        data = self.socket.recv(MIB)
        if not data:
            raise ConnectionError("closed")
        events = self.http.receive_data(data)
        self.flush()
        return events

    @staticmethod
    def bytes_of(method: str, message: bytes) -> bytes:
        """All that a client would send to call, from the preface on."""
        http = H2Connection(H2Configuration(client_side=True))
        http.initiate_connection()
        fixed = ((":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", METHOD + method))
        http.send_headers(1, [*fixed, ("content-type", "application/grpc"), ("te", "trailers")])
        http.send_data(1, struct.pack(">BI", 0, len(message)) + message, end_stream=True)
        return http.data_to_send()

    def frame_kinds(self) -> list[int]:
        """Of all frames from here to the connection's end."""
        data = b""
        while received := self.socket.recv(MIB):
            data += received
        kinds: list[int] = []
        while data:
            kinds.append(data[3])
            data = data[9 + int.from_bytes(data[:3]) :]
        return kinds

    def wait_for(self, *kinds: type) -> Any:
        while True:
            for event in self.receive():
                if isinstance(event, kinds):
                    return event


def request(text: str = "It was built in 1874. It stands.") -> pb.SummarizeRequest:
    return pb.SummarizeRequest(query="When was it built?", document=pb.Document(text=text))


def bomb(num_mib: int) -> bytes:
    packer, zeros = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(MIB)
    return b"".join([packer.compress(zeros) for _ in range(num_mib)]) + packer.flush()


def test_message_that_unpacks_beyond_the_bound_is_refused_in_little_memory(server: Server) -> None:
    server.ask(0)
    before = server.memory_peak_mib()
    packed = bomb(600)
    assert len(packed) < MIB
    for _ in range(3):
        with Peer(server.port) as peer:
            peer.open(1, "Summarize", ("grpc-encoding", "gzip"))
            peer.send(1, packed, is_compressed=True)
            headers = dict(peer.wait_for(ResponseReceived).headers)
            assert headers[b"grpc-status"] == b"8"  # RESOURCE_EXHAUSTED
    assert server.memory_peak_mib() - before < 64
    server.ask(1)


def test_compressed_message_within_the_bound_is_read(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", compression=grpc.Compression.Gzip) as channel:
        stub: Any = pb_grpc.SummarizationServiceStub(channel)
        assert stub.Summarize(request("It was built in 1874. It stands. " * 1000), timeout=10).summary


def test_peer_that_floods_with_pings_is_sent_away(server: Server) -> None:
    with Peer(server.port) as peer:
        goodbyes: list[Any] = []
        for number in range(20):
            peer.http.ping(struct.pack(">Q", number))
            peer.flush()
            goodbyes = [event for event in peer.receive() if isinstance(event, ConnectionTerminated)]
            if goodbyes:
                break
        (event,) = goodbyes
        assert (event.error_code, event.additional_data) == (ENHANCE_YOUR_CALM, b"too_many_pings")
    server.ask(2)


def test_flood_of_resets_costs_others_little_and_no_work_is_done_for_it(server: Server) -> None:
    """CVE-2023-44487: streams opened and reset at once never count as open, so no bound on open ones holds them."""
    before = server.memory_peak_mib()
    with Peer(server.port) as peer, others_unharmed(server) as others:
        calls = server.count("qdts_calls_total")
        for first in range(0, 20_000, 1000):
            for number in range(first, first + 1000):
                peer.open(2 * number + 1, "Summarize")
                peer.http.reset_stream(2 * number + 1, CANCEL)
            peer.flush()
            others.wait_for(2)
    assert server.memory_peak_mib() - before < 64
    assert server.count("qdts_calls_total") - calls <= len(others.took_s)


def test_calls_reset_in_the_midst_leave_nothing_behind(server: Server) -> None:
    """With their requests whole, so that work begins."""
    message = request("It was built in 1874. " * 2000).SerializeToString()
    with Peer(server.port) as peer:
        for number in range(200):
            stream = 2 * number + 1
            peer.open(stream, "Summarize")
            peer.send(stream, message)
            peer.http.reset_stream(stream, CANCEL)
            peer.flush()
    assert server.ask(3) < 5


@pytest.mark.parametrize("method", ["Summarize", "StreamSummarize"])
def test_reader_that_takes_nothing_is_given_up(server: Server, method: str) -> None:
    """No window and no deadline: without a bound the call would last as long as the connection."""
    sample = f'qdts_calls_total{{code="CANCELLED",method="{method}"}}'
    before = server.count(sample)
    whole = pb.StreamSummarizeRequest(request=request()) if method == "StreamSummarize" else request()
    with Peer(server.port, window=0) as peer:
        for stream in (1, 3, 5):
            peer.open(stream, method)
            peer.send(stream, whole.SerializeToString())
        ends_at = time.monotonic() + 5
        while server.count(sample) < before + 3 and time.monotonic() < ends_at:
            time.sleep(0.05)
        assert server.count(sample) == before + 3
        server.ask(4)


def test_metadata_beyond_the_bound_is_refused(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = pb_grpc.SummarizationServiceStub(channel)
        assert stub.Summarize(request(), timeout=10, metadata=(("x-filler", "x" * 8_000),)).summary
        with pytest.raises(grpc.RpcError) as caught:
            stub.Summarize(request(), timeout=10, metadata=(("x-filler", "x" * 20_000),))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_method_whose_name_is_no_utf8_ends_nothing(server: Server) -> None:
    """One such call ends a plain server of grpc.aio."""
    with Peer(server.port) as peer:
        fixed = [(":method", "POST"), (":scheme", "http"), (":authority", "test")]
        for stream, path in ((1, b"/x/\xff\xfe"), (3, b"\xff"), (5, METHOD.encode() + b"Summarize\xff")):
            peer.http.send_headers(
                stream, [*fixed, (b":path", path), ("te", "trailers"), ("content-type", "application/grpc")]
            )
            peer.flush()
            assert dict(peer.wait_for(ResponseReceived).headers)[b"grpc-status"] == b"12"  # UNIMPLEMENTED
    server.ask(7)


def test_unknown_methods_are_unimplemented(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        for name in ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", METHOD + "Nothing"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(name)(b"", timeout=10)
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4096, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64]
)
def test_what_is_no_http2_is_closed_and_harms_nobody(server: Server, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(garbage)
        while peer.recv(4096):
            pass
    server.ask(5)


def test_peers_that_open_and_say_nothing_harm_nobody(server: Server) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(100)]
    assert server.ask(6) < 5
    for peer in silent:
        peer.close()


def test_peers_that_say_the_preface_and_no_more_harm_nobody(server: Server) -> None:
    """The server has sent its settings and waits for theirs."""
    with contextlib.ExitStack() as peers:
        for _ in range(100):
            peer = peers.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            peer.sendall(PREFACE)
        with others_unharmed(server) as others:
            others.wait_for(50)


def test_peers_that_send_a_byte_at_a_time_harm_nobody(server: Server) -> None:
    """Of a whole request, so that each byte is one more that the server may wait for."""
    sent = Peer.bytes_of("Summarize", request().SerializeToString())
    with contextlib.ExitStack() as peers:
        slow = [
            peers.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10)) for _ in range(50)
        ]
        with others_unharmed(server) as others:
            for at in range(len(PREFACE) + 16):
                for peer in slow:
                    with contextlib.suppress(OSError):  # who is sent away for it has nothing more to send
                        peer.send(sent[at : at + 1])
                others.wait_for(1)


@pytest.fixture(name="narrow")
def _narrow() -> Iterator[Server]:
    """A server with room for little."""
    bounds = {"MAX_CONNECTIONS": 2, "MAX_CONNECTION_AGE_S": 1, "MAX_CONNECTION_GRACE_S": 1}
    settings = {f"TRANSPORT__{name}": value for name, value in bounds.items()}
    with Server(SERVER__MAX_STREAMS_PER_CONNECTION=7, **settings) as server:
        yield server


def test_connections_have_bounds_in_number_streams_and_age(narrow: Server) -> None:
    with Peer(narrow.port) as first, Peer(narrow.port) as second:
        for peer in (first, second):
            peer.receive()
            assert peer.http.remote_settings.max_concurrent_streams == 7
        with Peer(narrow.port) as third, pytest.raises(ConnectionError):
            third.wait_for(StreamEnded)
        assert GOAWAY in first.frame_kinds()  # its age; then closed, or this would not end
    with grpc.insecure_channel(f"127.0.0.1:{narrow.port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True).status == 1
