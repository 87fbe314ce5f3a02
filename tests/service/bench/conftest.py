"""Servicers whose latency and capacity are known, on a real grpc.aio server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from qdts.service.bench.outcome import Outcome
from qdts.service.bench.workload import Arrival, RequestClass
from qdts.service.client.messages import Request
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc


@dataclass
class KnownServicer(pb_grpc.SummarizationServiceServicer):
    """Answers `width` calls at a time, each in `takes_s`; refuses those that would be more than `max_inside`."""

    takes_s: float = 0.0
    width: int = 1000
    max_inside: int = 1000
    num_calls: int = 0
    num_inside: int = 0
    num_cancelled: int = 0
    peers: set[str] = field(default_factory=set)
    queries: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slots = asyncio.Semaphore(self.width)
        self.is_open = asyncio.Event()  # cleared: nobody is answered
        self.is_open.set()

    async def Summarize(self, request: pb.SummarizeRequest, context: Any) -> pb.SummarizeResponse:  # noqa: N802
        self.num_calls += 1
        self.peers.add(context.peer())
        self.queries.append(request.query)
        if self.num_inside >= self.max_inside:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        self.num_inside += 1
        try:
            async with self.slots:
                await asyncio.sleep(self.takes_s)
                await self.is_open.wait()
            return reply()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        finally:
            self.num_inside -= 1

    async def StreamSummarize(self, request: pb.StreamSummarizeRequest, context: Any) -> None:  # noqa: N802
        await asyncio.sleep(self.takes_s)
        await context.write(pb.StreamSummarizeResponse(text_delta="said"))
        await asyncio.sleep(self.takes_s)
        await context.write(pb.StreamSummarizeResponse(response=reply()))

    async def GetServerInfo(self, request: Any, context: Any) -> pb.GetServerInfoResponse:  # noqa: N802
        return pb.GetServerInfoResponse(version="known", ready=True)


def reply(rung: pb.Rung = pb.RUNG_FULL) -> pb.SummarizeResponse:
    return pb.SummarizeResponse(summary="said", rung=rung, origin_rung=rung, cache_status=pb.CACHE_STATUS_BYPASS)


Start = Callable[..., Awaitable[tuple[KnownServicer, str]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Serves a servicer made of the given fields; gives it and its address."""
    servers: list[grpc.aio.Server] = []

    async def start(**fields: Any) -> tuple[KnownServicer, str]:
        servicer = KnownServicer(**fields)
        server = grpc.aio.server()
        vars(pb_grpc)["add_SummarizationServiceServicer_to_server"](servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        return servicer, f"127.0.0.1:{port}"

    yield start
    for server in servers:
        await server.stop(None)


@pytest.fixture
def arrival() -> Callable[..., Arrival]:
    def arrival(number: int, at_s: float, cancel_after_s: float | None = None, **kind: Any) -> Arrival:
        asked = Request(query=f"query {number}", document="A document. It says something.")
        return Arrival(
            number=number, at_s=at_s, kind=RequestClass(**kind), request=asked, cancel_after_s=cancel_after_s
        )

    return arrival


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    def outcome(number: int = 0, *, latency_ms: float = 10, code: str = "OK", **fields: Any) -> Outcome:
        planned_s = fields.pop("planned_s", 0.0)
        values: dict[str, Any] = {"kind": "interactive", "sent_s": planned_s, "deadline_s": 0.1} | fields
        if code == "OK":
            values = {"rung": "full", "origin_rung": "full"} | values
        return Outcome(number=number, planned_s=planned_s, ended_s=planned_s + latency_ms / 1000, code=code, **values)

    return outcome
