"""A real grpc.aio server with answers written down beforehand: fixtures `script` and `url`."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import grpc.aio
import pytest

from qdts.errors import QdtsError
from qdts.service.errors import Metadata, code_of, status_of, trailers
from qdts.v1 import summarization_pb2 as pb
from qdts.v1.summarization_pb2_grpc import (
    SummarizationServiceServicer,
    add_SummarizationServiceServicer_to_server,
)

# A reply; an error, sent as the service would; or a bare gRPC error: code, message, trailers.
Answer = pb.SummarizeResponse | QdtsError | tuple[grpc.StatusCode, str, Metadata]
T = TypeVar("T")


@dataclass
class Script:
    """Answers in order, the last one for ever; and what was asked."""

    answers: list[Answer] = field(default_factory=lambda: [pb.SummarizeResponse(summary="ok")])
    batch: pb.BatchSummarizeResponse = field(default_factory=pb.BatchSummarizeResponse)
    events: list[pb.StreamSummarizeResponse | QdtsError] = field(default_factory=list)
    info: pb.GetServerInfoResponse = field(default_factory=pb.GetServerInfoResponse)
    delay_s: float = 0.0
    requests: list[pb.SummarizeRequest] = field(default_factory=list)
    times_remaining: list[float] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def next(self) -> Answer:
        """The answer to the call at hand."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def fail(context: grpc.aio.ServicerContext, fault: Any) -> None:
    """End the call with an error."""
    if isinstance(fault, QdtsError):
        status = status_of(fault, "r1")
        fault = (code_of(fault), status.message, trailers(status, fault))
    await context.abort(*fault)


class ScriptedServicer(SummarizationServiceServicer):
    """Reads its answers from a script."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def Summarize(self, request: pb.SummarizeRequest, context: grpc.aio.ServicerContext) -> Any:
        script = self._script
        script.requests.append(request)
        script.times_remaining.append(context.time_remaining())
        script.metadata.append(dict(context.invocation_metadata() or ()))
        await asyncio.sleep(script.delay_s)
        answer = script.next()
        if not isinstance(answer, pb.SummarizeResponse):
            await fail(context, answer)
        return answer

    async def BatchSummarize(self, request: pb.BatchSummarizeRequest, context: Any) -> Any:
        self._script.requests.extend(request.requests)
        return self._script.batch

    async def StreamSummarize(
        self, request: pb.StreamSummarizeRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.StreamSummarizeResponse]:
        self._script.requests.append(request.request)
        try:
            for event in self._script.events:
                if isinstance(event, QdtsError):
                    await fail(context, event)
                else:
                    yield event
                await asyncio.sleep(self._script.delay_s)
        except asyncio.CancelledError:
            self._script.cancelled.set()
            raise

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Any) -> Any:
        return self._script.info


@pytest.fixture
def script() -> Script:
    """What the server will answer: fill it in."""
    return Script()


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    """Where the server listens: in a thread with a loop of its own, for sync and async clients alike."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def in_loop(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(make(), loop).result(10)

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server()
        add_SummarizationServiceServicer_to_server(ScriptedServicer(script), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = in_loop(start)
    yield f"127.0.0.1:{port}"
    in_loop(lambda: server.stop(0))
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
