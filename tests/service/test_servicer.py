"""The four RPCs over real gRPC, when all goes well."""

import hashlib
from typing import Any

import grpc
import pytest

from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc


async def test_summarize_says_what_and_how(server: Any, kit: Any) -> None:
    reply = await server.stub.Summarize(kit.ask(document_id="doc-7", request_id="r-1"), timeout=10)
    assert reply.summary == "The lighthouse was built in 1874 on the northern cape."
    assert reply.rung == pb.RUNG_FULL
    assert reply.origin_rung == pb.RUNG_FULL
    assert list(reply.degrade_reasons) == []
    assert reply.coverage == 1.0
    assert reply.cache_status == pb.CACHE_STATUS_MISS
    assert reply.model_version == "fake@0123"
    assert reply.document_sha256 == hashlib.sha256(kit.LIGHTHOUSE.encode()).hexdigest()
    assert (reply.request_id, reply.document_id) == ("r-1", "doc-7")
    assert reply.tokens.input_tokens == 100
    assert reply.timings.total_ms > 0


async def test_spans_point_into_summary_and_document(server: Any, kit: Any) -> None:
    text = "Zürich 🏔 liegt am See. Die Stadt hat viele Brücken. 🏔 Berge sind nah."
    request = kit.ask(query="Brücken Berge", text=text, options=pb.SummarizeOptions(tier=pb.TIER_FAST))
    reply = await server.stub.Summarize(request, timeout=10)
    assert reply.sentences
    for sentence in reply.sentences:
        where = sentence.summary_span
        assert reply.summary[where.start : where.end] == sentence.text
        assert text[sentence.source_span.start : sentence.source_span.end] == sentence.text


async def test_basic_view_leaves_out_the_details(server: Any, kit: Any) -> None:
    reply = await server.stub.Summarize(kit.ask(options=pb.SummarizeOptions(view=pb.VIEW_BASIC)), timeout=10)
    assert reply.summary and reply.document_sha256 and reply.rung
    assert not reply.sentences
    assert not reply.HasField("timings")
    assert not reply.HasField("tokens")


async def test_fast_tier_uses_no_model(server: Any, kit: Any) -> None:
    reply = await server.stub.Summarize(kit.ask(options=pb.SummarizeOptions(tier=pb.TIER_FAST)), timeout=10)
    assert reply.rung == pb.RUNG_EXTRACTIVE
    assert list(reply.degrade_reasons) == []
    assert reply.model_version == ""
    assert server.model.num_starts == 0


async def test_second_call_comes_from_the_cache(server: Any, kit: Any) -> None:
    first = await server.stub.Summarize(kit.ask(), timeout=10)
    second = await server.stub.Summarize(kit.ask(query="  When was the\tlighthouse built? "), timeout=10)
    assert second.summary == first.summary
    assert (second.rung, second.origin_rung) == (pb.RUNG_CACHE, pb.RUNG_FULL)
    assert second.cache_status == pb.CACHE_STATUS_HIT
    assert server.model.num_starts == 1


@pytest.mark.parametrize("policy", [pb.CACHE_POLICY_BYPASS, pb.CACHE_POLICY_REFRESH])
async def test_cache_is_not_read_when_told_so(server: Any, kit: Any, policy: Any) -> None:
    for _ in range(2):
        options = pb.SummarizeOptions(cache_policy=policy)
        reply = await server.stub.Summarize(kit.ask(options=options), timeout=10)
        assert reply.cache_status == pb.CACHE_STATUS_BYPASS
    assert server.model.num_starts == 2


async def test_stream_ends_with_the_unary_reply(server: Any, kit: Any) -> None:
    options = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)
    request = kit.ask(options=options, request_id="same")
    server.model.step_s = 0.005
    unary = await server.stub.Summarize(request, timeout=10)
    events = [e async for e in server.stub.StreamSummarize(pb.StreamSummarizeRequest(request=request), timeout=10)]
    *pieces, last = events
    assert len(pieces) > 2
    assert "".join(piece.text_delta for piece in pieces) == unary.summary
    for reply in (unary, last.response):
        reply.ClearField("timings")
    assert last.response == unary


async def test_stream_from_cache_gives_the_text_in_one_piece(server: Any, kit: Any) -> None:
    await server.stub.Summarize(kit.ask(), timeout=10)
    request = pb.StreamSummarizeRequest(request=kit.ask())
    events = [event async for event in server.stub.StreamSummarize(request, timeout=10)]
    assert [event.WhichOneof("event") for event in events] == ["text_delta", "response"]
    assert events[0].text_delta == events[1].response.summary
    assert events[1].response.rung == pb.RUNG_CACHE


async def test_batch_answers_each_item_by_itself(server: Any, kit: Any) -> None:
    items = [kit.ask(text=f"Sentence number {i} is here. Another one follows.") for i in range(5)]
    items[2].query = " "
    items[3].request_id = "mine"
    request = pb.BatchSummarizeRequest(requests=items, request_id="batch")
    reply = await server.stub.BatchSummarize(request, timeout=10)
    kinds = [result.WhichOneof("result") for result in reply.results]
    assert kinds == ["response", "response", "error", "response", "response"]
    assert reply.results[4].response.summary.startswith("Sentence number 4")
    assert reply.results[2].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "requests[2].query" in reply.results[2].error.message
    assert [reply.results[i].response.request_id for i in (0, 3)] == ["batch/0", "mine"]


async def test_ids_of_items_fit_whatever_the_batchs_is(server: Any, kit: Any) -> None:
    request = pb.BatchSummarizeRequest(requests=[kit.ask()] * 11, request_id="x" * 128)
    reply = await server.stub.BatchSummarize(request, timeout=10)
    ids = [result.response.request_id for result in reply.results]
    assert [ids[0], ids[10]] == ["x" * 126 + "/0", "x" * 125 + "/10"]


async def test_batch_that_is_too_much_keeps_what_was_done_in_time(server: Any, kit: Any) -> None:
    server.model.encode_s = 0.2
    items = [kit.ask(text=f"Sentence number {i} is here. Another one follows.") for i in range(100)]
    reply = await server.stub.BatchSummarize(pb.BatchSummarizeRequest(requests=items), timeout=1.5)
    rungs = [result.response.rung for result in reply.results if result.HasField("response")]
    assert len(rungs) >= 90
    assert pb.RUNG_FULL in rungs and pb.RUNG_EXTRACTIVE in rungs


async def test_server_info_names_model_limits_and_rungs(server: Any) -> None:
    info = await server.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=10)
    assert info.ready
    assert (info.model.version, info.model.runtime) == ("fake@0123", "fake")
    assert info.limits.max_document_chars == 2_000_000
    assert info.limits.max_batch_items == 100
    assert info.auto_tier == pb.TIER_GENERATIVE
    assert pb.RUNG_FULL in info.rungs and pb.RUNG_LEAD in info.rungs


async def test_without_a_model_the_server_says_so_and_extracts(kit: Any) -> None:
    application = kit.Application(kit.config(), load=lambda config: None)
    await application.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{application.port}") as channel:
        stub: Any = pb_grpc.SummarizationServiceStub(channel)
        info = await stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=10)
        assert not info.HasField("model")
        assert pb.RUNG_FULL not in info.rungs
        assert info.auto_tier == pb.TIER_FAST
        auto = await stub.Summarize(kit.ask(), timeout=10)
        assert auto.rung == pb.RUNG_EXTRACTIVE
        asked = await stub.Summarize(kit.ask(options=pb.SummarizeOptions(tier=pb.TIER_GENERATIVE)), timeout=10)
        assert list(asked.degrade_reasons) == [pb.DEGRADE_REASON_NO_MODEL]
    await application.stop()
