"""Requests that nobody should send, a million of them: does anything crash, hang, or answer INTERNAL?

Most go straight to the handlers, interceptor included, in this process; a share goes over the wire to a server with the
shipped model, with deadlines of a few milliseconds and calls that are given up; some open connections and speak
broken HTTP/2. Ends with status 1 if anything was found. Needs hypothesis, which [dev] brings.
"""

import argparse
import asyncio
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, cast

import grpc
import grpc.aio

from qdts.loadtest.bench_startup import READY_TIMEOUT_S, free_port, serving, wait_ready
from qdts.loadtest.mutations import as_batch, as_stream, make_corpus, mutate
from qdts.loadtest.report import finish, make_parser
from qdts.service import logs
from qdts.service.application import Application
from qdts.service.client import Client
from qdts.service.config import EngineConfig, ListenConfig, MetricsConfig, ServerConfig

SERVICE = "/qdts.v1.SummarizationService/"
METHODS = ("Summarize", "Summarize", "Summarize", "BatchSummarize", "StreamSummarize", "GetServerInfo")
# Of the time: the rest is the wire's and the broken connections'.
HANDLER_SHARE, WIRE_SHARE = 0.6, 0.3
WIDTH = 64
# Far beyond any deadline that is sent: what takes longer hangs.
HANG_S = 30.0
FAULTS = ("INTERNAL", "UNKNOWN", "DATA_LOSS")

Send = Callable[[str, bytes, random.Random], Awaitable[str]]


@dataclass(kw_only=True)
class Findings:
    """What was sent and how it ended."""

    by_code: Counter[str] = field(default_factory=Counter)
    num_hangs: int = 0
    crashes: list[str] = field(default_factory=list)

    @property
    def num_requests(self) -> int:
        """All that was sent, whatever came of it."""
        return self.by_code.total() + self.num_hangs

    @property
    def num_internal(self) -> int:
        """Answers that say that the server was at fault."""
        return sum(self.by_code[code] for code in FAULTS)


class _Ended(Exception):
    """How gRPC takes a handler out of its abort()."""


class _Context:
    """As much of gRPC's context as handlers use."""

    def __init__(self, left_s: float | None, metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        self._left_s, self._metadata = left_s, metadata
        self.code = grpc.StatusCode.OK

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    def time_remaining(self) -> float | None:
        return self._left_s

    def set_trailing_metadata(self, metadata: object) -> None: ...

    async def write(self, message: Any) -> None:
        message.SerializeToString()  # what cannot be sent must not be written

    async def abort(self, code: grpc.StatusCode, details: str, metadata: object) -> None:
        self.code = code
        raise _Ended(details)


class _Registry:
    """Takes what a service registers, in a server's stead."""

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None: ...

    def add_registered_method_handlers(self, service: str, methods: dict[str, Any]) -> None:
        self.methods.update({f"/{service}/{name}": handler for name, handler in methods.items()})


async def handlers_of(application: Application) -> dict[str, Any]:
    """By method, what the server of `application` calls, with all that surrounds it."""
    from qdts.v1 import summarization_pb2_grpc as pb_grpc

    registry, parts = _Registry(), cast("Any", application)
    cast("Any", pb_grpc).add_SummarizationServiceServicer_to_server(parts._servicer, registry)

    async def surrounded(name: str) -> Any:
        details = cast("Any", _Details(method=name))

        async def found(_: object) -> Any:
            return registry.methods[name]

        return (await parts._server._interceptor.intercept_service(found, details)).unary_stream

    return {name.removeprefix(SERVICE): await surrounded(name) for name in registry.methods}


@dataclass(frozen=True, kw_only=True)
class _Details:
    method: str
    invocation_metadata: tuple[tuple[str, str], ...] = ()


async def fuzz_handlers(findings: Findings, corpus: list[bytes], *, seed: int, seconds: float) -> None:
    """In this process, without a model: parsing, validation, cache, single flight and the rungs below."""
    config = ServerConfig(
        server=ListenConfig(port=0, drain_delay_s=0),
        engine=EngineConfig(model="none"),
        metrics=MetricsConfig(enabled=False),
    )
    application = Application(config)
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: findings.crashes.append(str(context["message"]))
    )
    await application.start()
    handlers = await handlers_of(application)

    async def send(method: str, data: bytes, rng: random.Random) -> str:
        ids = ("r-1", "\x7f", "x" * 200, "")
        metadata = (("x-request-id", rng.choice(ids)),) if rng.random() < 0.3 else ()
        context = _Context(rng.choice((None, 0.0, 0.002, 1.0, 1e9, float("inf"))), metadata)
        try:
            await handlers[method](data, context)
        except _Ended:
            pass
        return context.code.name

    await _flood(send, findings, corpus, seed=seed, seconds=seconds)
    await application.stop()


async def fuzz_wire(findings: Findings, corpus: list[bytes], port: int, *, seed: int, seconds: float) -> None:
    """Over gRPC to a server with a model; some calls are given up before they are answered."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        calls = {name: channel.unary_stream(SERVICE + name) for name in METHODS}

        async def send(method: str, data: bytes, rng: random.Random) -> str:
            call: Any = calls[method](data, timeout=rng.choice((0.002, 0.02, 0.1, 2.0)))
            if rng.random() < 0.1:
                asyncio.get_running_loop().call_later(rng.random() * 0.01, call.cancel)
            try:
                async for _ in call:
                    pass
            except (grpc.aio.AioRpcError, asyncio.CancelledError):
                pass
            return (await call.code()).name

        await _flood(send, findings, corpus, seed=seed, seconds=seconds)
    if findings.by_code["UNAVAILABLE"]:
        findings.crashes.append("the server could not be reached")


async def _flood(send: Send, findings: Findings, corpus: list[bytes], *, seed: int, seconds: float) -> None:
    """WIDTH senders side by side, for so long."""
    ends_at = time.monotonic() + seconds

    async def sender(name: int) -> None:
        rng = random.Random(seed * WIDTH + name)
        while time.monotonic() < ends_at:
            method = rng.choice(METHODS)
            try:
                async with asyncio.timeout(HANG_S):
                    code = await send(method, _message(method, rng, corpus), rng)
                findings.by_code[code] += 1
            except TimeoutError:
                findings.num_hangs += 1

    for outcome in await asyncio.gather(*map(sender, range(WIDTH)), return_exceptions=True):
        if outcome is not None:
            findings.crashes.append(type(outcome).__name__)


def _message(method: str, rng: random.Random, corpus: list[bytes]) -> bytes:
    data = mutate(rng, corpus)
    if method == "BatchSummarize":
        return as_batch([data, *(mutate(rng, corpus) for _ in range(rng.randrange(4)))])
    return as_stream(data) if method == "StreamSummarize" else data


def fuzz_connections(findings: Findings, corpus: list[bytes], port: int, *, seed: int, seconds: float) -> int:
    """Open connections, speak HTTP/2 with mistakes, leave; how many. The server must still listen after each."""
    rng, ends_at, num = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < ends_at and not findings.crashes:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
                _speak(peer, rng, corpus)
        except ConnectionRefusedError:
            findings.crashes.append("the server does not listen any more")
        except OSError:
            pass  # it hung up on us, and rightly so
        num += 1
    return num


def _speak(peer: socket.socket, rng: random.Random, corpus: list[bytes]) -> None:
    stream = bytearray(_opening() + _frame(0, 1, 1, mutate(rng, corpus)[:16384]))
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        stream[rng.randrange(len(stream))] = rng.randrange(256)
    peer.sendall(stream)
    peer.settimeout(0.005)
    peer.recv(4096)


def _opening() -> bytes:
    """Preface, settings and the headers of a call, each literal and none indexed (RFC 7541, 6.2.2)."""
    headers = {":method": "POST", ":scheme": "http", ":path": SERVICE + "Summarize", ":authority": "x"}
    headers |= {"te": "trailers", "content-type": "application/grpc"}
    packed = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers.items())
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"") + _frame(1, 4, 1, packed)


def _text(value: str) -> bytes:
    return bytes((len(value),)) + value.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


@contextmanager
def _quiet() -> Iterator[None]:
    """Logs of the handlers are not written: a million lines say nothing."""
    logs.configure("error")
    with redirect_stderr(StringIO()):
        yield


def measure(args: argparse.Namespace) -> dict[str, object]:
    """All three, one after the other."""
    seconds = 60 * args.minutes
    corpus = make_corpus(300, args.seed)
    inside, wire = Findings(), Findings()
    started_at = time.monotonic()
    with _quiet():
        asyncio.run(fuzz_handlers(inside, corpus, seed=args.seed, seconds=HANDLER_SHARE * seconds))
    port = free_port()
    with serving(port):
        with Client(f"127.0.0.1:{port}") as client:
            wait_ready(client, time.monotonic() + READY_TIMEOUT_S)
        asyncio.run(fuzz_wire(wire, corpus, port, seed=args.seed + 1, seconds=WIRE_SHARE * seconds))
        left_s = max(1.0, seconds - (time.monotonic() - started_at))
        num_connections = fuzz_connections(wire, corpus, port, seed=args.seed + 2, seconds=left_s)
    crashes = [*inside.crashes, *wire.crashes]
    return {
        "requests": inside.num_requests + wire.num_requests,
        "handler_requests": inside.num_requests,
        "wire_requests": wire.num_requests,
        "connections": num_connections,
        "crashes": len(crashes),
        "crash_kinds": sorted(set(crashes)),
        "hangs": inside.num_hangs + wire.num_hangs,
        "internal": inside.num_internal + wire.num_internal,
        "handler_codes": dict(inside.by_code.most_common()),
        "wire_codes": dict(wire.by_code.most_common()),
        "seed": args.seed,
        "minutes": round((time.monotonic() - started_at) / 60, 2),
    }


def main() -> int:
    """The command line."""
    parser = make_parser(cast("str", __doc__).splitlines()[0])
    parser.add_argument("--minutes", type=float, help="how long; default 10, 0.4 with --quick")
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    args.minutes = args.minutes or (0.4 if args.quick else 10.0)
    figures = measure(args)
    finish("fuzz", args, figures)
    return 1 if figures["crashes"] or figures["hangs"] or figures["internal"] else 0


if __name__ == "__main__":
    sys.exit(main())
