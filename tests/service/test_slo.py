"""Which requests count as met, as missed, or not at all: by the real errors, and over real gRPC."""

import asyncio
import threading
from typing import Any

import grpc
import pytest

from qdts.errors import DeadlineExceeded, Overloaded, QuotaExceeded
from qdts.service.auth import AuthConfig
from qdts.service.deadline import Deadline
from qdts.service.metrics import Metrics
from qdts.service.quotas import QuotaConfig
from qdts.service.request import Priority
from qdts.service.slo import counted
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)
MET, MISSED, NEITHER = (1, 0), (0, 1), (0, 0)


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def tally(metrics: Metrics) -> tuple[float, float]:
    met, missed = (metrics.value("qdts_slo_total", outcome=outcome) for outcome in ("met", "missed"))
    return met, missed


@pytest.mark.parametrize(
    ("error", "after_s", "expected"),
    [
        (None, 0.9, MET),
        (None, 1.1, MISSED),
        (Overloaded("x"), 0.1, MISSED),
        (DeadlineExceeded("x"), 1.1, MISSED),
        (ValueError("x"), 0.1, MISSED),
        (QuotaExceeded("x"), 0.1, NEITHER),
        (asyncio.CancelledError(), 0.5, NEITHER),
        (asyncio.CancelledError(), 0.94, NEITHER),
        (asyncio.CancelledError(), 0.96, MISSED),  # an answer would have been on its way by then
        (asyncio.CancelledError(), 1.1, MISSED),
    ],
)
def test_outcomes(error: BaseException | None, after_s: float, expected: tuple[int, int]) -> None:
    metrics, clock = Metrics(), Clock()

    def answer() -> None:
        with counted(metrics, Priority.BULK, Deadline.after(1.0, clock)):
            clock.now += after_s
            if error is not None:
                raise error

    if error is None:
        answer()
    else:
        with pytest.raises(type(error)):
            answer()
    assert tally(metrics) == expected
    by_class = [metrics.value("qdts_requests_total", priority="bulk", outcome=each) for each in ("met", "missed")]
    assert tuple(by_class) == expected


async def refused(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def ended(server: Any, eventually: Any, code: str, count: int = 1) -> None:
    """Until so many calls have ended so."""
    value = server.application.metrics.value
    await eventually(lambda: value("qdts_calls_total", method="Summarize", code=code) == count, 30)


async def test_callers_who_go_away_early_count_as_nothing(server: Any, kit: Any, eventually: Any) -> None:
    server.model.gate.clear()
    call = server.stub.Summarize(kit.ask(options=BYPASS), timeout=55)
    await eventually(lambda: server.model.num_starts == 1)
    call.cancel()
    await ended(server, eventually, "CANCELLED")
    assert tally(server.application.metrics) == NEITHER
    server.model.gate.set()
    await server.summarize()
    assert tally(server.application.metrics) == MET


async def test_callers_at_fault_count_as_nothing(serve: Any, kit: Any) -> None:
    server = await serve(
        quotas=QuotaConfig(tenants="a=1", burst_s=1),
        auth=AuthConfig(tokens="a-token-0123456789 a"),
    )
    good = (("authorization", "Bearer a-token-0123456789"),)
    code = grpc.StatusCode
    assert await refused(server.stub.Summarize(kit.ask(), timeout=30)) is code.UNAUTHENTICATED
    assert await refused(server.stub.Summarize(kit.ask(query=""), timeout=30, metadata=good)) is code.INVALID_ARGUMENT
    await server.stub.Summarize(kit.ask(), timeout=30, metadata=good)
    again = server.stub.Summarize(kit.ask(text="Another one."), timeout=30, metadata=good)
    assert await refused(again) is code.RESOURCE_EXHAUSTED
    assert tally(server.application.metrics) == MET


@pytest.mark.parametrize("bound", ["max_calls_per_peer", "max_concurrent_calls"])
async def test_calls_beyond_a_bound_are_missed(serve: Any, kit: Any, eventually: Any, bound: str) -> None:
    server = await serve(server=kit.Listen(port=0, drain_delay_s=0.0, **{bound: 1}))
    server.model.gate.clear()
    first = server.stub.Summarize(kit.ask(options=BYPASS), timeout=55)
    await eventually(lambda: server.model.num_starts == 1)
    assert await refused(server.stub.Summarize(kit.ask(), timeout=30)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    stream = server.stub.StreamSummarize(pb.StreamSummarizeRequest(request=kit.ask()), timeout=30)
    assert await refused(stream.read()) is grpc.StatusCode.RESOURCE_EXHAUSTED
    info = server.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=30)
    assert await refused(info) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert tally(server.application.metrics) == (0, 2), "who asks for no summary misses none"
    server.model.gate.set()
    await first
    assert tally(server.application.metrics) == (1, 2)


async def test_calls_while_the_model_is_loaded_are_missed(kit: Any) -> None:
    go = threading.Event()

    def load(config: Any) -> Any:
        go.wait(30)
        return kit.Model()

    application = kit.Application(kit.config(), load=load)
    starting = asyncio.ensure_future(application.start())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{application.port}") as channel:
        await channel.channel_ready()
        stub: Any = pb_grpc.SummarizationServiceStub(channel)
        assert await refused(stub.Summarize(kit.ask(), timeout=30)) is grpc.StatusCode.UNAVAILABLE
        batch = pb.BatchSummarizeRequest(requests=[kit.ask(), kit.ask()])
        assert await refused(stub.BatchSummarize(batch, timeout=30)) is grpc.StatusCode.UNAVAILABLE
        await stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=30)
        assert tally(application.metrics) == (0, 2), "a batch that is refused whole is one"
    go.set()
    await starting
    await application.stop()
