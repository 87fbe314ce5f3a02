"""Deadlines and cancellation over real gRPC: nothing hangs, nothing is spent on answers nobody waits for."""

import asyncio
import time
from typing import Any

import grpc
import pytest

from qdts.v1 import summarization_pb2 as pb

BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)


async def test_expired_deadline(server: Any, kit: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.stub.Summarize(kit.ask(), timeout=-1)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.model.num_starts == 0


async def test_deadline_of_1_ms_answers_or_says_so_at_once(server: Any, kit: Any) -> None:
    server.model.step_s = 0.05
    for _ in range(20):
        started_at = time.monotonic()
        try:
            reply = await server.stub.Summarize(kit.ask(options=BYPASS), timeout=0.001)
            assert reply.summary
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - started_at < 0.5
    await asyncio.sleep(0.1)
    assert server.model.num_steps <= 1
    assert (await server.stub.Summarize(kit.ask(), timeout=10)).summary


async def test_slow_model_is_given_up_in_time_for_an_extract(server: Any, kit: Any) -> None:
    server.model.step_s = 0.1
    started_at = time.monotonic()
    reply = await server.stub.Summarize(kit.ask(options=BYPASS), timeout=0.6)
    assert time.monotonic() - started_at < 0.6
    assert reply.rung == pb.RUNG_EXTRACTIVE
    assert list(reply.degrade_reasons) == [pb.DEGRADE_REASON_DEADLINE_MISSED]
    await asyncio.sleep(0.3)
    steps = server.model.num_steps
    assert steps <= 6
    await asyncio.sleep(0.3)
    assert server.model.num_steps == steps


async def test_what_was_too_slow_before_is_not_tried_again(server: Any, kit: Any) -> None:
    server.model.step_s = 0.1
    for _ in range(2):
        reply = await server.stub.Summarize(kit.ask(options=BYPASS), timeout=0.8)
        await asyncio.sleep(0.15)
    assert pb.DEGRADE_REASON_DEADLINE_SHORT in reply.degrade_reasons


async def test_cancelled_call_stops_within_a_step(server: Any, kit: Any, eventually: Any) -> None:
    server.model.step_s = 0.05
    call = server.stub.Summarize(kit.ask(options=BYPASS), timeout=10)
    await eventually(lambda: server.model.num_steps == 2)
    call.cancel()
    await eventually(lambda: server.model.num_cancelled == 1)
    steps = server.model.num_steps
    assert steps <= 4
    server.model.step_s = 0.0
    assert (await server.stub.Summarize(kit.ask(), timeout=10)).rung == pb.RUNG_FULL
    assert server.model.num_steps <= steps + 10


async def test_cancelled_stream_stops_within_a_step(server: Any, kit: Any, eventually: Any) -> None:
    server.model.step_s = 0.05
    call = server.stub.StreamSummarize(pb.StreamSummarizeRequest(request=kit.ask(options=BYPASS)), timeout=10)
    assert (await call.read()).text_delta
    call.cancel()
    await eventually(lambda: server.model.num_cancelled == 1)
    assert server.model.num_steps <= 4


async def test_cancelled_in_the_queue_is_never_started(server: Any, kit: Any, eventually: Any) -> None:
    server.model.gate.clear()
    first = server.stub.Summarize(kit.ask(options=BYPASS), timeout=10)
    await eventually(lambda: server.model.num_steps == 1)
    waiting = [
        server.stub.Summarize(kit.ask(text=f"Number {i} waits here.", options=BYPASS), timeout=10) for i in range(20)
    ]
    await eventually(lambda: len(server.model.prepared) == 21)
    for call in waiting:
        call.cancel()
    await asyncio.sleep(0.1)
    server.model.gate.set()
    assert (await first).rung == pb.RUNG_FULL
    assert server.model.num_starts == 1


async def test_expired_in_the_queue_is_never_started(server: Any, kit: Any, eventually: Any) -> None:
    server.model.gate.clear()
    first = server.stub.Summarize(kit.ask(options=BYPASS), timeout=10)
    await eventually(lambda: server.model.num_steps == 1)
    late = server.stub.Summarize(kit.ask(text="Too late for the model.", options=BYPASS), timeout=0.5)
    reply = await late
    assert reply.rung == pb.RUNG_EXTRACTIVE
    assert list(reply.degrade_reasons) == [pb.DEGRADE_REASON_DEADLINE_MISSED]
    server.model.gate.set()
    await first
    assert server.model.num_starts == 1


async def test_batch_keeps_its_one_deadline(server: Any, kit: Any) -> None:
    server.model.step_s = 0.02
    items = [kit.ask(text=f"Item {i} has words to write down slowly.", options=BYPASS) for i in range(20)]
    started_at = time.monotonic()
    reply = await server.stub.BatchSummarize(pb.BatchSummarizeRequest(requests=items), timeout=1.5)
    assert time.monotonic() - started_at < 1.5
    rungs = [result.response.rung for result in reply.results]
    assert all(rungs)
    assert pb.RUNG_FULL in rungs and pb.RUNG_EXTRACTIVE in rungs


async def test_call_without_a_deadline_gets_the_default(serve: Any, kit: Any) -> None:
    server = await serve(deadlines=kit.Deadlines(default_ms=500, max_ms=1000))
    server.model.step_s = 0.2
    started_at = time.monotonic()
    reply = await server.stub.Summarize(kit.ask(options=BYPASS))
    assert time.monotonic() - started_at < 0.6
    assert reply.rung == pb.RUNG_EXTRACTIVE


async def test_longer_deadlines_are_cut_to_the_ceiling(serve: Any, kit: Any) -> None:
    server = await serve(deadlines=kit.Deadlines(default_ms=500, max_ms=500))
    server.model.step_s = 0.2
    started_at = time.monotonic()
    await server.stub.Summarize(kit.ask(options=BYPASS), timeout=30)
    assert time.monotonic() - started_at < 0.6
