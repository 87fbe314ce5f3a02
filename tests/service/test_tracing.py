"""Spans of real calls: whose child they are, what they say, and that they say no text."""

import json
from typing import Any

import grpc
import pytest

from qdts.service.tracing import TracingConfig
from qdts.v1 import summarization_pb2 as pb

sdk = pytest.importorskip("opentelemetry.sdk.trace.export", reason="comes with qdts[otel]")
memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = TracingConfig(enabled=True)
STAGES = ("admission", "engine wait", "encode", "decode")


@pytest.fixture(name="spans")
def _spans(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Called, the finished spans by name, the warm-up not being one; tracing goes into memory."""
    from qdts.service.otel import OtelTracer

    exporter = memory.InMemorySpanExporter()
    monkeypatch.setattr(OtelTracer, "to_collector", lambda: OtelTracer(sdk.SimpleSpanProcessor(exporter)))

    def finished() -> dict[str, Any]:
        return {span.name: span for span in exporter.get_finished_spans()}

    finished.clear = exporter.clear  # type: ignore[attr-defined]
    return finished


def span_of(spans: dict[str, Any], method: str) -> Any:
    return spans[f"qdts.v1.SummarizationService/{method}"]


async def test_call_continues_its_callers_trace(serve: Any, kit: Any, spans: Any) -> None:
    server = await serve(tracing=TRACED)
    metadata = (("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01"),)
    await server.stub.Summarize(kit.ask(), timeout=5, metadata=metadata)
    call = span_of(spans(), "Summarize")
    assert f"{call.context.trace_id:032x}" == TRACE_ID
    assert f"{call.parent.span_id:016x}" == PARENT_ID
    assert call.attributes["rpc.grpc.status"] == "OK" and call.attributes["qdts.rung"] == "full"
    for name in ("cache", *STAGES):
        assert spans()[name].parent.span_id == call.context.span_id


async def test_stages_lie_end_to_end_within_the_call(serve: Any, kit: Any, spans: Any) -> None:
    server = await serve(tracing=TRACED)
    server.model.step_s = 0.005
    await server.summarize()
    call, stages = span_of(spans(), "Summarize"), [spans()[name] for name in STAGES]
    times = [stages[0].start_time, *(span.end_time for span in stages)]
    assert call.start_time <= times[0] and times == sorted(times) and times[-1] <= call.end_time
    assert all(one.end_time == other.start_time for one, other in zip(stages, stages[1:], strict=False))
    decode = spans()["decode"]
    assert decode.end_time - decode.start_time == pytest.approx(5e6 * decode.attributes["qdts.steps"], rel=0.01)


async def test_reply_from_the_cache_has_no_stages(serve: Any, kit: Any, spans: Any) -> None:
    server = await serve(tracing=TRACED)
    await server.summarize()
    spans.clear()
    await server.summarize()
    assert set(spans()) == {"qdts.v1.SummarizationService/Summarize", "cache"}
    assert span_of(spans(), "Summarize").attributes["qdts.cache"] == "hit"


async def test_refused_call_is_an_error_without_its_words(serve: Any, kit: Any, spans: Any) -> None:
    server = await serve(tracing=TRACED)
    with pytest.raises(grpc.aio.AioRpcError):
        await server.stub.Summarize(kit.ask(query=""), timeout=5)
    call = span_of(spans(), "Summarize")
    assert (call.status.status_code.name, call.status.description) == ("ERROR", "INVALID_ARGUMENT")
    assert not call.events


async def test_no_text_reaches_a_span(serve: Any, kit: Any, spans: Any) -> None:
    server = await serve(tracing=TRACED)
    words = ("Quetzalcoatlus", "Archaeopteryx", "Pteranodon")
    request = kit.ask(query=words[0], text=f"{words[1]} flew.", title=words[2], document_id=words[2])
    metadata = (("x-secret", words[0]), ("tracestate", "vendor=1"))
    await server.stub.Summarize(request, timeout=5, metadata=metadata)
    server.model.step_error = ValueError(words[0])
    await server.stub.Summarize(
        kit.ask(query=words[0], options=pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)), timeout=5
    )
    said = json.dumps([json.loads(span.to_json()) for span in spans().values()])
    assert "engine_failed" in said
    assert not [word for word in words if word in said]
