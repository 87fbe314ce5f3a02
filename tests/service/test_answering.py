"""Cache, single flight and ladder together, over real gRPC."""

import asyncio
import contextlib
from typing import Any

import grpc
import pytest

from qdts.service.admission_config import AdmissionConfig
from qdts.service.admission_metrics import AdmissionMetrics
from qdts.service.extraction import extractive_summary
from qdts.v1 import summarization_pb2 as pb


@pytest.fixture(name="stale")
async def _stale(serve: Any, kit: Any) -> Any:
    """A server whose cache holds a reply that is past its time."""
    server = await serve(cache=kit.Cache(ttl_s=0.0, stale_s=60.0, revalidate_s=0.0))
    await server.stub.Summarize(kit.ask(), timeout=10)
    return server


async def test_entry_past_its_time_is_made_anew_when_it_can(stale: Any, kit: Any) -> None:
    reply = await stale.stub.Summarize(kit.ask(), timeout=10)
    assert (reply.rung, reply.cache_status) == (pb.RUNG_FULL, pb.CACHE_STATUS_MISS)


async def test_entry_past_its_time_is_better_than_an_extract(stale: Any, kit: Any) -> None:
    stale.model.start_error = RuntimeError("x")
    reply = await stale.stub.Summarize(kit.ask(), timeout=10)
    assert (reply.rung, reply.origin_rung) == (pb.RUNG_STALE, pb.RUNG_FULL)
    assert reply.cache_status == pb.CACHE_STATUS_STALE
    assert list(reply.degrade_reasons) == [pb.DEGRADE_REASON_ENGINE_FAILED]
    assert reply.model_version == "fake@0123"


async def test_only_fresh_refuses_entries_past_their_time(stale: Any, kit: Any) -> None:
    stale.model.start_error = RuntimeError("x")
    options = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_ONLY_FRESH)
    reply = await stale.stub.Summarize(kit.ask(options=options), timeout=10)
    assert reply.rung == pb.RUNG_EXTRACTIVE


async def test_refresh_replaces_what_others_then_get(server: Any, kit: Any) -> None:
    await server.stub.Summarize(kit.ask(), timeout=10)
    options = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_REFRESH)
    await server.stub.Summarize(kit.ask(options=options), timeout=10)
    reply = await server.stub.Summarize(kit.ask(), timeout=10)
    assert (reply.rung, server.model.num_starts) == (pb.RUNG_CACHE, 2)


async def test_bypass_writes_nothing(server: Any, kit: Any) -> None:
    options = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)
    await server.stub.Summarize(kit.ask(options=options), timeout=10)
    assert (await server.stub.Summarize(kit.ask(), timeout=10)).cache_status == pb.CACHE_STATUS_MISS


async def test_tiers_do_not_share_entries(server: Any, kit: Any) -> None:
    await server.stub.Summarize(kit.ask(options=pb.SummarizeOptions(tier=pb.TIER_FAST)), timeout=10)
    assert (await server.stub.Summarize(kit.ask(), timeout=10)).rung == pb.RUNG_FULL
    best = await server.stub.Summarize(kit.ask(options=pb.SummarizeOptions(tier=pb.TIER_BEST)), timeout=10)
    assert best.rung == pb.RUNG_CACHE  # without a larger model, the same work as GENERATIVE


async def test_server_without_a_cache(serve: Any, kit: Any) -> None:
    server = await serve(cache=kit.Cache(max_entries=0))
    for _ in range(2):
        reply = await server.stub.Summarize(kit.ask(), timeout=10)
        assert (reply.rung, reply.cache_status) == (pb.RUNG_FULL, pb.CACHE_STATUS_BYPASS)


async def test_young_stale_entry_answers_at_once_and_is_made_anew(serve: Any, kit: Any, eventually: Any) -> None:
    server = await serve(cache=kit.Cache(ttl_s=0.2, ttl_jitter=0.0, revalidate_s=60.0, stale_s=60.0))
    await server.summarize()
    await asyncio.sleep(0.25)
    server.model.gate.clear()
    replies = [await server.summarize() for _ in range(3)]  # the model stands still: nobody waits for it
    assert {(reply.rung, reply.cache_status) for reply in replies} == {(pb.RUNG_STALE, pb.CACHE_STATUS_STALE)}
    assert not replies[0].degrade_reasons
    server.model.gate.set()
    metrics = server.application.metrics
    assert metrics.value("qdts_cache_revalidations_total") == 1
    await eventually(lambda: server.model.num_starts == 2 and server.model.num_cancelled == 0)
    await asyncio.sleep(0.05)
    assert (await server.summarize()).rung == pb.RUNG_CACHE
    assert server.model.num_starts == 2


async def test_only_fresh_does_not_take_a_young_stale_entry(serve: Any, kit: Any) -> None:
    server = await serve(cache=kit.Cache(ttl_s=0.0, revalidate_s=60.0, stale_s=60.0))
    await server.summarize()
    options = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_ONLY_FRESH)
    assert (await server.summarize(options=options)).rung == pb.RUNG_FULL


async def test_what_the_guard_rejects_is_not_tried_again_soon(serve: Any, kit: Any) -> None:
    server = await serve(cache=kit.Cache(negative_s=60.0))
    server.model.invents = True
    first, second = [await server.summarize() for _ in range(2)]
    for reply in (first, second):
        assert (reply.rung, list(reply.degrade_reasons)) == (pb.RUNG_EXTRACTIVE, [pb.DEGRADE_REASON_GUARD_REJECTED])
    assert first.summary == second.summary
    assert server.model.num_starts == 1
    lookups = "qdts_cache_lookups_total"
    assert server.application.metrics.value(lookups, level="process", result="negative") == 1


async def test_what_failed_for_the_moment_is_tried_again(serve: Any, kit: Any) -> None:
    server = await serve(cache=kit.Cache(negative_s=60.0))
    server.model.step_error = ValueError("boom")
    assert (await server.summarize()).rung == pb.RUNG_EXTRACTIVE
    server.model.step_error = None
    assert (await server.summarize()).rung == pb.RUNG_FULL


async def test_who_would_be_refused_gets_an_entry_past_its_time(serve: Any, kit: Any, eventually: Any) -> None:
    server = await serve(
        cache=kit.Cache(ttl_s=0.0, revalidate_s=0.0, stale_s=60.0), admission=AdmissionConfig(max_requests=1)
    )
    await server.stub.Summarize(kit.ask(), timeout=10)
    server.model.gate.clear()
    other = server.stub.Summarize(kit.ask(text="Another one is written."), timeout=10)
    await eventually(lambda: len(server.model.prepared) == 2)
    reply = await server.stub.Summarize(kit.ask(), timeout=10)
    assert (reply.rung, list(reply.degrade_reasons)) == (pb.RUNG_STALE, [pb.DEGRADE_REASON_OVERLOADED])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.stub.Summarize(kit.ask(text="One too many."), timeout=10)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(dict(caught.value.trailing_metadata() or ())["grpc-retry-pushback-ms"]) > 0
    server.model.gate.set()
    assert (await other).rung == pb.RUNG_FULL
    assert server.application.metrics.value("qdts_shed_total", priority="interactive", bound="requests") == 2


async def test_a_server_that_stops_makes_nothing_anew(serve: Any, kit: Any) -> None:
    server = await serve(cache=kit.Cache(ttl_s=0.0, revalidate_s=60.0, stale_s=60.0))
    await server.summarize()
    assert (await server.summarize()).rung == pb.RUNG_STALE

    def made_anew() -> list[str]:
        coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
        return [one.__qualname__ for one in coroutines if one.__qualname__.startswith("Revalidation.")]

    assert len(made_anew()) == 1
    await server.application.stop()
    await asyncio.sleep(0)
    assert made_anew() == []


async def test_metrics_tell_of_the_ladder_that_answers(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the one that tried the model before it was shown."""
    watched: list[AdmissionMetrics] = []
    monkeypatch.setattr(AdmissionMetrics, "watch_limit", lambda metrics, limit: watched.append(metrics))
    server = await serve()
    assert watched.count(server.application.metrics.admission) == 1


@pytest.fixture(name="num_extracts")
def _num_extracts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the extracts that are made."""
    made: list[int] = []

    def counted(request: Any) -> Any:
        made.append(1)
        return extractive_summary(request)

    monkeypatch.setattr("qdts.service.ladder.extractive_summary", counted)
    return made


async def test_no_extract_is_made_where_an_entry_past_its_time_answers(
    stale: Any, kit: Any, num_extracts: list[int]
) -> None:
    stale.model.start_error = RuntimeError("x")
    for _ in range(5):
        assert (await stale.summarize()).rung == pb.RUNG_STALE
    assert not num_extracts
    only_fresh = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_ONLY_FRESH)
    assert (await stale.summarize(options=only_fresh)).rung == pb.RUNG_EXTRACTIVE
    assert len(num_extracts) == 1


async def test_no_extract_is_made_for_who_waits_in_vain_beside_an_entry_past_its_time(
    stale: Any, kit: Any, num_extracts: list[int], eventually: Any
) -> None:
    stale.model.gate.clear()
    leader = stale.stub.Summarize(kit.ask(), timeout=55)
    await eventually(lambda: stale.model.num_starts == 2)
    reply = pb.SummarizeResponse()
    for timeout_s in (1, 2, 4):  # a tenth of a second is left for the answer: a busy machine may need another try
        with contextlib.suppress(grpc.aio.AioRpcError):
            reply = await stale.summarize(timeout=timeout_s)
            break
    assert (reply.rung, list(reply.degrade_reasons)) == (pb.RUNG_STALE, [pb.DEGRADE_REASON_DEADLINE_MISSED])
    assert not num_extracts
    stale.model.gate.set()
    assert (await leader).rung == pb.RUNG_FULL


async def test_who_takes_only_fresh_ones_is_not_given_what_another_accepts(
    stale: Any, kit: Any, eventually: Any
) -> None:
    """Both wait for the same piece of work, which ends with the leader's entry past its time."""
    stale.model.gate.clear()
    leader = stale.stub.Summarize(kit.ask(), timeout=55)
    await eventually(lambda: stale.model.num_starts == 2)
    policies = (pb.CACHE_POLICY_DEFAULT, pb.CACHE_POLICY_ONLY_FRESH, pb.CACHE_POLICY_REFRESH)
    others = [
        asyncio.ensure_future(stale.summarize(options=pb.SummarizeOptions(cache_policy=policy), timeout=55))
        for policy in policies
    ]
    flight = next(iter(stale.application._servicer.answerer._answerer._flights._flights.values()))
    await eventually(lambda: flight.num_waiting == 4)
    stale.model.step_error = RuntimeError("x")
    stale.model.gate.set()
    assert (await leader).rung == pb.RUNG_STALE
    replies = await asyncio.gather(*others)
    assert [reply.rung for reply in replies] == [pb.RUNG_STALE, pb.RUNG_EXTRACTIVE, pb.RUNG_EXTRACTIVE]
    assert {tuple(reply.degrade_reasons) for reply in replies} == {(pb.DEGRADE_REASON_ENGINE_FAILED,)}
    assert stale.model.num_starts == 2


async def test_an_entry_past_its_time_is_better_than_what_another_had_to_take(
    stale: Any, kit: Any, eventually: Any
) -> None:
    stale.model.gate.clear()
    only_fresh = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_ONLY_FRESH)
    leader = stale.stub.Summarize(kit.ask(options=only_fresh), timeout=55)
    await eventually(lambda: stale.model.num_starts == 2)
    other = asyncio.ensure_future(stale.summarize(timeout=55))
    flight = next(iter(stale.application._servicer.answerer._answerer._flights._flights.values()))
    await eventually(lambda: flight.num_waiting == 2)
    stale.model.step_error = RuntimeError("x")
    stale.model.gate.set()
    assert [(await leader).rung, (await other).rung] == [pb.RUNG_EXTRACTIVE, pb.RUNG_STALE]


async def test_who_waits_for_an_identical_request_takes_no_place(serve: Any, kit: Any, eventually: Any) -> None:
    """A herd is one model call, whatever admission lets in; another request on top is one too many."""
    server = await serve(admission=AdmissionConfig(max_requests=1))
    server.model.gate.clear()
    herd = [asyncio.ensure_future(server.summarize(timeout=55)) for _ in range(100)]
    await eventually(lambda: server.model.num_starts == 1)
    flight = next(iter(server.application._servicer.answerer._answerer._flights._flights.values()))
    await eventually(lambda: flight.num_waiting == 100)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.summarize(text="One too many.", timeout=55)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    server.model.gate.set()
    assert {reply.summary for reply in await asyncio.gather(*herd)} == {
        "The lighthouse was built in 1874 on the northern cape."
    }
    assert server.model.num_starts == 1
    bypass = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)
    assert (await server.summarize(options=bypass)).rung == pb.RUNG_FULL, "the place is free again"
