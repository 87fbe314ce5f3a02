"""Deadlines and cancellation over real gRPC: nothing hangs, nothing is spent on answers nobody waits for.

The model is held at its gate instead of being slow, and what is kept back for an extract is a second or more: a starved
machine makes these tests longer, and decides nothing.
"""

import threading
import time
from typing import Any

import grpc
import pytest

from qdts.service.ladder import Ladder
from qdts.v1 import summarization_pb2 as pb

BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)
# As long as the gate stays closed by itself. Whoever waits for less has not waited for the model.
PATIENT_S = 55.0


class Turnstile(threading.Event):
    """Lets so many steps of the model pass and holds the next one until it is set."""

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self._num_left = num_steps

    def wait(self, timeout: float | None = None) -> bool:
        self._num_left -= 1
        return self._num_left >= 0 or super().wait(timeout)


@pytest.fixture(name="early")
def _early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is given up at half of the time there is: the other half is for the extract, and for the machine."""
    monkeypatch.setattr("qdts.service.ladder.EXTRACT_GUESS_MS", 60_000.0)


async def told_that_they_left(server: Any, eventually: Any, num_calls: int = 1, method: str = "Summarize") -> None:
    """Until the server knows that callers have cancelled."""
    labels = {"method": method, "code": "CANCELLED"}
    await eventually(
        lambda: server.application.metrics.value("qdts_calls_total", **labels) == num_calls, timeout_s=PATIENT_S
    )


async def test_expired_deadline(server: Any, kit: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.stub.Summarize(kit.ask(), timeout=-1)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.model.num_starts == 0


async def test_deadline_of_1_ms_answers_or_says_so_at_once(server: Any, kit: Any) -> None:
    server.model.gate.clear()
    for _ in range(20):
        started_at = time.monotonic()
        try:
            reply = await server.stub.Summarize(kit.ask(options=BYPASS), timeout=0.001)
            assert reply.summary
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - started_at < PATIENT_S
    server.model.gate.set()
    assert (await server.stub.Summarize(kit.ask(options=BYPASS), timeout=PATIENT_S)).summary
    assert server.model.num_steps <= 1 + len(kit.LIGHTHOUSE.split(".")[0].split())


async def test_slow_model_is_given_up_in_time_for_an_extract(
    server: Any, kit: Any, eventually: Any, early: None
) -> None:
    server.model.gate.clear()
    reply = await server.stub.Summarize(kit.ask(options=BYPASS), timeout=3)
    assert reply.rung == pb.RUNG_EXTRACTIVE
    assert list(reply.degrade_reasons) == [pb.DEGRADE_REASON_DEADLINE_MISSED]
    server.model.gate.set()
    await eventually(lambda: server.model.num_cancelled == 1, timeout_s=PATIENT_S)
    assert server.model.num_steps == 1


async def test_what_was_too_slow_before_is_not_tried_again(server: Any, kit: Any, eventually: Any, early: None) -> None:
    server.model.gate.clear()
    reply = await server.stub.Summarize(kit.ask(options=BYPASS), timeout=5)
    assert list(reply.degrade_reasons) == [pb.DEGRADE_REASON_DEADLINE_MISSED]
    server.model.gate.set()
    await eventually(lambda: server.model.num_cancelled == 1, timeout_s=PATIENT_S)
    reply = await server.stub.Summarize(kit.ask(options=BYPASS), timeout=2)
    assert pb.DEGRADE_REASON_DEADLINE_SHORT in reply.degrade_reasons
    assert server.model.prepared == ["full", "passages"]  # of the cheaper rung nothing is known yet


async def test_cancelled_call_stops_within_a_step(server: Any, kit: Any, eventually: Any) -> None:
    server.model.gate = gate = Turnstile(1)
    call = server.stub.Summarize(kit.ask(options=BYPASS), timeout=PATIENT_S)
    await eventually(lambda: server.model.num_steps == 2, timeout_s=PATIENT_S)
    call.cancel()
    await told_that_they_left(server, eventually)
    gate.set()
    await eventually(lambda: server.model.num_cancelled == 1, timeout_s=PATIENT_S)
    assert server.model.num_steps == 2
    assert (await server.stub.Summarize(kit.ask(), timeout=PATIENT_S)).rung == pb.RUNG_FULL


async def test_cancelled_stream_stops_within_a_step(server: Any, kit: Any, eventually: Any) -> None:
    server.model.gate = gate = Turnstile(3)
    request = pb.StreamSummarizeRequest(request=kit.ask(options=BYPASS))
    call = server.stub.StreamSummarize(request, timeout=PATIENT_S)
    assert (await call.read()).text_delta
    await eventually(lambda: server.model.num_steps == 4, timeout_s=PATIENT_S)
    call.cancel()
    await told_that_they_left(server, eventually, method="StreamSummarize")
    gate.set()
    await eventually(lambda: server.model.num_cancelled == 1, timeout_s=PATIENT_S)
    assert server.model.num_steps == 4


async def test_cancelled_in_the_queue_is_never_started(server: Any, kit: Any, eventually: Any) -> None:
    server.model.gate.clear()
    first = server.stub.Summarize(kit.ask(options=BYPASS), timeout=PATIENT_S)
    await eventually(lambda: server.model.num_steps == 1, timeout_s=PATIENT_S)
    waiting = [
        server.stub.Summarize(kit.ask(text=f"Number {i} waits here.", options=BYPASS), timeout=PATIENT_S)
        for i in range(20)
    ]
    await eventually(lambda: len(server.model.prepared) == 21, timeout_s=PATIENT_S)
    for call in waiting:
        call.cancel()
    await told_that_they_left(server, eventually, num_calls=20)
    server.model.gate.set()
    assert (await first).rung == pb.RUNG_FULL
    assert server.model.num_starts == 1


async def test_expired_in_the_queue_is_never_started(server: Any, kit: Any, eventually: Any, early: None) -> None:
    server.model.gate.clear()
    first = server.stub.Summarize(kit.ask(options=BYPASS), timeout=PATIENT_S)
    await eventually(lambda: server.model.num_steps == 1, timeout_s=PATIENT_S)
    late = server.stub.Summarize(kit.ask(text="Too late for the model.", options=BYPASS), timeout=3)
    reply = await late
    assert reply.rung == pb.RUNG_EXTRACTIVE
    assert list(reply.degrade_reasons) == [pb.DEGRADE_REASON_DEADLINE_MISSED]
    server.model.gate.set()
    await first
    assert server.model.num_starts == 1


async def test_batch_keeps_its_one_deadline(server: Any, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some items are written, then the model stands still: all have one time, and none is lost."""
    # Also for the later ones, when extracts have been seen to be quick, so much is kept back.
    monkeypatch.setattr(Ladder, "model_deadline", lambda self, request, deadline: deadline.sooner(3.0))
    server.model.gate = Turnstile(20)
    items = [kit.ask(text=f"Item {i} has words to write down slowly.", options=BYPASS) for i in range(20)]
    reply = await server.stub.BatchSummarize(pb.BatchSummarizeRequest(requests=items), timeout=6)
    rungs = [result.response.rung for result in reply.results]
    assert all(rungs)
    assert pb.RUNG_FULL in rungs and pb.RUNG_EXTRACTIVE in rungs


async def test_call_without_a_deadline_gets_the_default(serve: Any, kit: Any, early: None) -> None:
    server = await serve(deadlines=kit.Deadlines(default_ms=3000, max_ms=60_000))
    server.model.gate.clear()
    started_at = time.monotonic()
    reply = await server.stub.Summarize(kit.ask(options=BYPASS))
    assert 1 < time.monotonic() - started_at < PATIENT_S
    assert reply.rung == pb.RUNG_EXTRACTIVE


async def test_longer_deadlines_are_cut_to_the_ceiling(serve: Any, kit: Any, early: None) -> None:
    server = await serve(deadlines=kit.Deadlines(default_ms=3000, max_ms=3000))
    server.model.gate.clear()
    started_at = time.monotonic()
    reply = await server.stub.Summarize(kit.ask(options=BYPASS), timeout=3600)
    assert time.monotonic() - started_at < PATIENT_S
    assert reply.rung == pb.RUNG_EXTRACTIVE
