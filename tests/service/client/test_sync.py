"""The client for threads, against a real server with scripted answers."""

import socket
import time
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from qdts.errors import (
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    Overloaded,
    QdtsError,
    QueueFull,
    Unavailable,
)
from qdts.models.document import Document, Span
from qdts.service.client import Client, ClientConfig, Reply, Request, RetryPolicy
from qdts.service.errors import status_of
from qdts.v1 import summarization_pb2 as pb

OK = pb.SummarizeResponse(summary="ok")
# Where the deadline is not the point, a busy machine must not matter.
PATIENT = ClientConfig(timeout_s=20)


def test_a_reply_comes_back_whole(script: Any, url: str) -> None:
    sentence = pb.SummarySentence(
        text="ok", summary_span=pb.TextSpan(start=0, end=2), source_span=pb.TextSpan(start=5, end=7)
    )
    script.answers = [
        pb.SummarizeResponse(
            summary="ok",
            sentences=[sentence, pb.SummarySentence(text="new")],
            rung=pb.RUNG_PASSAGES,
            degrade_reasons=[pb.DEGRADE_REASON_OVERLOADED],
            cache_status=pb.CACHE_STATUS_MISS,
            coverage=0.5,
            timings=pb.Timings(decode_ms=1.5),
            tokens=pb.TokenCounts(output_tokens=3),
        )
    ]
    with Client(url, PATIENT) as client:
        reply = client.summarize("q", "d")
    assert (reply.summary, reply.rung, reply.degrade_reasons) == ("ok", "passages", ("overloaded",))
    assert reply.sentences[0].source_span == Span(5, 7)
    assert reply.sentences[1].source_span is None
    assert (reply.coverage, reply.cache_status) == (0.5, "miss")
    assert (reply.timings.decode_ms, reply.tokens.output_tokens) == (1.5, 3)


def test_a_request_arrives_whole(script: Any, url: str) -> None:
    document = Document(text="d", title="t", language="de")
    with Client(url, PATIENT) as client:
        client.summarize("q", document, max_words=12, tier="fast", cache_policy="bypass", document_id="7")
    request = script.requests[0]
    assert (request.query, request.document.text, request.document.title) == ("q", "d", "t")
    assert (request.document.language_code, request.document.document_id) == ("de", "7")
    assert (request.options.max_words, request.options.tier) == (12, pb.TIER_FAST)
    assert request.options.cache_policy == pb.CACHE_POLICY_BYPASS


def test_every_call_has_a_deadline(script: Any, url: str) -> None:
    with Client(url) as client:
        client.summarize("q", "d")
        client.summarize("q", "d", timeout_s=0.5)
    assert 0.5 < script.times_remaining[0] < 1.01  # gRPC rounds up to milliseconds
    assert 0 < script.times_remaining[1] < 0.51


def test_the_deadline_holds_against_a_silent_server(script: Any, url: str) -> None:
    script.delay_s = 5
    started = time.monotonic()
    with Client(url, PATIENT) as client, pytest.raises(DeadlineExceeded):
        client.summarize("q", "d", timeout_s=0.1)
    assert time.monotonic() - started < 4
    assert len(script.requests) == 1


def test_an_unavailable_server_is_tried_again(script: Any, url: str) -> None:
    script.answers = [Draining("bye"), Draining("bye"), OK]
    script.delay_s = 0.2
    with Client(url, PATIENT) as client:
        assert client.summarize("q", "d", timeout_s=5).summary == "ok"
    assert len(script.requests) == 3
    # One deadline for all attempts: two of them have passed when the third begins.
    assert script.times_remaining[2] < script.times_remaining[0] - 0.3


def test_three_attempts_are_enough(script: Any, url: str) -> None:
    script.answers = [Draining("bye")]
    with Client(url, PATIENT) as client, pytest.raises(Draining):
        client.summarize("q", "d")
    assert len(script.requests) == 3


def test_overload_is_retried_when_the_server_says_when(script: Any, url: str) -> None:
    script.answers = [QueueFull("full", retry_after_s=0.08), OK]
    started = time.monotonic()
    with Client(url, PATIENT) as client:
        assert client.summarize("q", "d").summary == "ok"
    assert time.monotonic() - started >= 0.08


def test_overload_past_the_deadline_fails_at_once(script: Any, url: str) -> None:
    script.answers = [Overloaded("busy", retry_after_s=30)]
    started = time.monotonic()
    with Client(url, PATIENT) as client, pytest.raises(Overloaded) as caught:
        client.summarize("q", "d")
    assert time.monotonic() - started < 10
    assert caught.value.retry_after_s == 30
    assert len(script.requests) == 1


@pytest.mark.parametrize("pushback", ["-1", "later"])
def test_a_negative_pushback_forbids_the_retry(script: Any, url: str, pushback: str) -> None:
    script.answers = [(grpc.StatusCode.UNAVAILABLE, "no", (("grpc-retry-pushback-ms", pushback),)), OK]
    with Client(url, PATIENT) as client, pytest.raises(Unavailable):
        client.summarize("q", "d")
    assert len(script.requests) == 1


def test_retry_info_alone_is_a_pushback(script: Any, url: str) -> None:
    status = Status(code=8, message="busy")
    status.details.add().Pack(RetryInfo(retry_delay=Duration(nanos=1_000_000)))
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    script.answers = [(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", details), OK]
    with Client(url, PATIENT) as client:
        assert client.summarize("q", "d").summary == "ok"


def test_overload_without_pushback_is_not_retried(script: Any, url: str) -> None:
    script.answers = [(grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large", ())]
    with Client(url, PATIENT) as client, pytest.raises(Overloaded):
        client.summarize("q", "d")
    assert len(script.requests) == 1


def test_the_budget_is_shared_by_all_calls(script: Any, url: str) -> None:
    script.answers = [Draining("bye")]
    with Client(url, ClientConfig(retry=RetryPolicy(budget_burst=3, budget_ratio=0))) as client:
        for _ in range(10):
            with pytest.raises(Draining):
                client.summarize("q", "d")
    assert len(script.requests) == 10 + 3


def test_an_invalid_request_names_field_and_bound(script: Any, url: str) -> None:
    script.answers = [InvalidRequest("options.max_words", "must be between 5 and 100")]
    with Client(url, PATIENT) as client, pytest.raises(InvalidRequest) as caught:
        client.summarize("q", "d", max_words=1)
    assert (caught.value.field, caught.value.problem) == ("options.max_words", "must be between 5 and 100")
    assert len(script.requests) == 1


def test_an_internal_error_is_final(script: Any, url: str) -> None:
    script.answers = [(grpc.StatusCode.INTERNAL, "internal error, request id r1", ())]
    with (
        Client(url, PATIENT) as client,
        pytest.raises(QdtsError, match="INTERNAL: internal error, request id r1"),
    ):
        client.summarize("q", "d")
    assert len(script.requests) == 1


def test_nobody_there_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{unused.getsockname()[1]}"
        with Client(url, PATIENT) as client, pytest.raises(Unavailable):
            client.summarize("q", "d", timeout_s=0.5)


def test_stream_gives_pieces_then_the_reply(script: Any, url: str) -> None:
    script.events = [
        pb.StreamSummarizeResponse(text_delta="o"),
        pb.StreamSummarizeResponse(text_delta="k"),
        pb.StreamSummarizeResponse(response=OK),
    ]
    with Client(url, PATIENT) as client:
        *pieces, reply = client.summarize_stream("q", "d")
    assert pieces == ["o", "k"]
    assert isinstance(reply, Reply) and reply.summary == "ok"


def test_a_stream_that_fails_raises_and_is_not_retried(script: Any, url: str) -> None:
    script.events = [pb.StreamSummarizeResponse(text_delta="o"), Draining("bye")]
    with Client(url, PATIENT) as client, pytest.raises(Draining):
        list(client.summarize_stream("q", "d"))
    assert len(script.requests) == 1


def test_a_stream_left_early_is_cancelled_at_the_server(script: Any, url: str) -> None:
    script.events = [pb.StreamSummarizeResponse(text_delta="o")] * 100
    script.delay_s = 0.05
    with Client(url, ClientConfig(timeout_s=10)) as client:
        stream = client.summarize_stream("q", "d")
        assert next(stream) == "o"
        stream.close()  # type: ignore[attr-defined]
        assert script.cancelled.wait(5)


def test_a_batch_keeps_errors_in_their_place(script: Any, url: str) -> None:
    bad = status_of(InvalidRequest("query", "is blank"), "r1")
    script.batch = pb.BatchSummarizeResponse(
        results=[pb.BatchSummarizeResult(error=bad), pb.BatchSummarizeResult(response=OK)]
    )
    with Client(url, PATIENT) as client:
        first, second = client.batch([Request(query="", document="d"), Request(query="q", document="d")])
    assert isinstance(first, InvalidRequest) and first.field == "query"
    assert isinstance(second, Reply) and second.summary == "ok"
    assert [request.query for request in script.requests] == ["", "q"]


def test_server_info(script: Any, url: str) -> None:
    script.info = pb.GetServerInfoResponse(
        version="1",
        ready=True,
        model=pb.ModelInfo(version="m@1", runtime="onnx"),
        limits=pb.Limits(max_words=100),
        rungs=[pb.RUNG_FULL],
        auto_tier=pb.TIER_GENERATIVE,
    )
    with Client(url, PATIENT) as client:
        info = client.server_info()
    assert info.model is not None and (info.model.version, info.model.runtime) == ("m@1", "onnx")
    assert (info.limits.max_words, info.rungs, info.auto_tier) == (100, ("full",), "generative")


def test_a_server_without_model_says_so(script: Any, url: str) -> None:
    with Client(url, PATIENT) as client:
        assert client.server_info().model is None
