"""A second model that is asked again: what is counted, and that no caller is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from qdts.errors import WeightsError
from qdts.service.comparison import OUTCOMES
from qdts.service.shadow import ShadowConfig
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)
Ask = Callable[..., Any]


@asynccontextmanager
async def server(kit: Any, shadow: Any, *, share: float = 1.0) -> AsyncIterator[tuple[Any, Ask]]:
    """An application with `shadow` beside the usual model, and a way to ask it."""
    config = kit.config(shadow=ShadowConfig(model="candidate", share=share))
    application = kit.Application(config, load=lambda asked: shadow if asked.model == "candidate" else kit.Model())
    try:
        await application.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{application.port}") as channel:
            stub: Any = pb_grpc.SummarizationServiceStub(channel)
            yield application, lambda **fields: stub.Summarize(kit.ask(**fields), timeout=5)
    finally:
        await application.stop()


def count(application: Any, outcome: str) -> float:
    return application.metrics.value("qdts_shadow_total", outcome=outcome)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({}, "same"),
        ({"words": 3}, "different"),
        ({"step_error": ValueError("secret")}, "failed"),
        ({"invents": True}, "guard_rejected"),
    ],
)
async def test_what_it_writes_is_counted_and_told_to_nobody(
    kit: Any, eventually: Any, fault: dict[str, Any], outcome: str
) -> None:
    shadow = kit.Model(version="candidate@9")
    async with server(kit, shadow) as (application, ask):
        if words := fault.pop("words", None):
            whole = shadow.prepare
            shadow.prepare = lambda *parts, max_words, **more: whole(*parts, max_words=words, **more)
        for name, value in fault.items():
            setattr(shadow, name, value)
        reply = await ask(options=BYPASS)
        assert (reply.rung, reply.model_version) == (pb.RUNG_FULL, "fake@0123")
        await eventually(lambda: count(application, outcome) == 1)
        assert sum(count(application, other) for other in OUTCOMES) == 1
        value = application.metrics.value
        is_answer = outcome in ("same", "different")
        assert value("qdts_second_length_ratio_count", model="shadow") == is_answer
        assert value("qdts_second_source_overlap_sum", model="shadow") == is_answer, "of the same sentence"
        if is_answer:
            ratio = 1 if outcome == "same" else len("The lighthouse was") / len(reply.summary)
            assert value("qdts_second_length_ratio_sum", model="shadow") == pytest.approx(ratio)


async def test_it_is_not_asked_about_what_the_model_did_not_just_write(kit: Any) -> None:
    shadow = kit.Model()
    async with server(kit, shadow) as (_, ask):
        await ask()
        await asyncio.sleep(0.1)
        shadow.forget()
        assert (await ask()).cache_status == pb.CACHE_STATUS_HIT
        assert (await ask(options=pb.SummarizeOptions(tier=pb.TIER_FAST))).rung == pb.RUNG_EXTRACTIVE
        await asyncio.sleep(0.1)
        assert shadow.num_starts == 0


async def test_one_that_hangs_holds_up_nobody_and_is_asked_once(kit: Any) -> None:
    shadow = kit.Model()
    async with server(kit, shadow) as (_, ask):
        shadow.forget()
        shadow.gate.clear()
        replies = await asyncio.gather(
            *(ask(text=f"Number {number} is asked.", options=BYPASS) for number in range(20))
        )
        assert {reply.rung for reply in replies} == {pb.RUNG_FULL}
        assert len(shadow.prepared) == 1
        shadow.gate.set()


async def test_share_of_none_asks_nothing(kit: Any) -> None:
    shadow = kit.Model()
    async with server(kit, shadow, share=0.0) as (_, ask):
        shadow.forget()
        await ask()
        await asyncio.sleep(0.1)
        assert not shadow.prepared


async def test_one_that_fails_its_warm_up_stops_the_start(kit: Any) -> None:
    with pytest.raises(WeightsError, match="warm-up"):
        async with server(kit, kit.Model(invents=True)):
            pass
