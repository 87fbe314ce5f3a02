"""What Locust is told of calls to a real gRPC server; Locust itself is not needed for that."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from qdts.loadtest.locust_reporting import INTENDED_AT, ReportingInterceptor
from qdts.loadtest.locust_verdict import FIRST_MESSAGE
from qdts.v1 import summarization_pb2 as pb

PART = pb.StreamSummarizeResponse(text_delta="It was built in 1874.")
WHOLE = pb.SummarizeResponse(summary="It was built in 1874.")
LATE_S = 5.0


def summarize(request: pb.SummarizeRequest, context: grpc.ServicerContext) -> pb.SummarizeResponse:
    if request.query == "fail":
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no")
    return WHOLE


def stream(request: pb.StreamSummarizeRequest, context: grpc.ServicerContext) -> Iterator[pb.StreamSummarizeResponse]:
    yield PART
    yield PART
    if request.request.query == "fail":
        context.abort(grpc.StatusCode.INTERNAL, "no")


@pytest.fixture(name="events")
def _events() -> list[dict[str, Any]]:
    return []


@pytest.fixture(name="channel")
def _channel(events: list[dict[str, Any]]) -> Iterator[grpc.Channel]:
    handlers = {
        "Summarize": grpc.unary_unary_rpc_method_handler(
            summarize, pb.SummarizeRequest.FromString, pb.SummarizeResponse.SerializeToString
        ),
        "StreamSummarize": grpc.unary_stream_rpc_method_handler(
            stream, pb.StreamSummarizeRequest.FromString, pb.StreamSummarizeResponse.SerializeToString
        ),
    }
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.Service", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    request = SimpleNamespace(fire=lambda **fields: events.append(fields))
    environment = SimpleNamespace(events=SimpleNamespace(request=request))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield grpc.intercept_channel(channel, ReportingInterceptor(environment))
    server.stop(None).wait()


@pytest.fixture(autouse=True)
def _intended_a_while_ago() -> None:
    """As if the request had been due so long ago."""
    INTENDED_AT.set(time.monotonic() - LATE_S)


def ask(channel: grpc.Channel, query: str) -> pb.SummarizeResponse:
    call: Any = channel.unary_unary(
        "/a.Service/Summarize", pb.SummarizeRequest.SerializeToString, pb.SummarizeResponse.FromString
    )
    return call(pb.SummarizeRequest(query=query), timeout=30)


def read(channel: grpc.Channel, query: str) -> list[pb.StreamSummarizeResponse]:
    call: Any = channel.unary_stream(
        "/a.Service/StreamSummarize", pb.StreamSummarizeRequest.SerializeToString, pb.StreamSummarizeResponse.FromString
    )
    return [*call(pb.StreamSummarizeRequest(request=pb.SummarizeRequest(query=query)), timeout=30)]


def test_a_call_is_told_with_its_size_and_the_time_since_it_was_due(channel: Any, events: list[Any]) -> None:
    assert ask(channel, "when?") == WHOLE
    [event] = events
    assert (event["request_type"], event["name"], event["exception"]) == ("grpc", "Summarize", None)
    assert event["response_length"] == WHOLE.ByteSize() > 0
    assert event["response_time"] >= 1000 * LATE_S


def test_a_call_that_fails_is_told_with_its_error(channel: Any, events: list[Any]) -> None:
    with pytest.raises(grpc.RpcError):
        ask(channel, "fail")
    [event] = events
    assert event["exception"].code() is grpc.StatusCode.RESOURCE_EXHAUSTED and event["response_length"] == 0


def test_a_stream_is_told_twice_at_its_first_message_and_at_its_end(channel: Any, events: list[Any]) -> None:
    assert read(channel, "when?") == [PART, PART]
    assert [event["name"] for event in events] == [f"StreamSummarize {FIRST_MESSAGE}", "StreamSummarize"]
    assert [event["response_length"] for event in events] == [0, 2 * PART.ByteSize()]
    assert [event["exception"] for event in events] == [None, None]
    assert events[0]["response_time"] <= events[1]["response_time"]


def test_a_stream_that_breaks_is_told_with_its_error(channel: Any, events: list[Any]) -> None:
    with pytest.raises(grpc.RpcError):
        read(channel, "fail")
    assert [event["name"] for event in events] == [f"StreamSummarize {FIRST_MESSAGE}", "StreamSummarize"]
    assert events[0]["exception"] is None and events[1]["exception"].code() is grpc.StatusCode.INTERNAL
