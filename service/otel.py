"""Tracer over OpenTelemetry's SDK. Imported only where tracing is on; attributes are numbers and names of ours."""

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from qdts import __version__
from qdts.service.health import SERVICE_NAME as RPC_SERVICE
from qdts.service.reply import CacheStatus, Reply

# The only metadata that is read: nothing else of a caller's reaches a span.
_CARRIERS = ("traceparent", "tracestate")


class OtelTracer:
    """Makes spans of calls and gives them to `processor`."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "qdts"}), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("qdts", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to_collector(cls) -> "OtelTracer":
        """Over OTLP, to the collector that OpenTelemetry's variables name. ImportError without its exporter."""
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return cls(BatchSpanProcessor(OTLPSpanExporter()))

    def call(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> AbstractContextManager[object]:
        """The call's span; current within the block."""
        carrier = {key: value for key, value in metadata if key in _CARRIERS and isinstance(value, str)}
        return self._tracer.start_as_current_span(
            f"{RPC_SERVICE}/{method}",
            context=self._propagator.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": RPC_SERVICE, "rpc.method": method},
            # What exceptions say may quote what they choked on.
            record_exception=False,
            set_status_on_exception=False,
        )

    def part(self, name: str) -> AbstractContextManager[object]:
        """A span below the current one."""
        return self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)

    def ended(self, code: str) -> None:
        """The call's status; whatever is not OK is an error."""
        span = trace.get_current_span()
        span.set_attribute("rpc.grpc.status", code)
        if code != "OK":
            span.set_status(trace.StatusCode.ERROR, code)

    def answered(self, reply: Reply, *, started_ns: int) -> None:
        """Attributes of the current span, and the stages below it."""
        span = trace.get_current_span()
        span.set_attribute("qdts.rung", reply.rung.name.lower())
        span.set_attribute("qdts.cache", reply.cache_status.name.lower())
        span.set_attribute("qdts.reasons", [reason.name.lower() for reason in reply.reasons])
        span.set_attribute("qdts.model", reply.model_version)
        if reply.model_version and reply.cache_status in (CacheStatus.MISS, CacheStatus.BYPASS):
            self._stages(reply, started_ns, time.time_ns())

    def _stages(self, reply: Reply, started_ns: int, ended_ns: int) -> None:
        timings, summary = reply.timings, reply.summary
        stages = (
            ("decode", timings.decode_ms, {"qdts.tokens": summary.num_output_tokens, "qdts.steps": summary.num_steps}),
            ("encode", timings.encode_ms, {"qdts.tokens": summary.num_input_tokens}),
            ("engine wait", timings.queue_ms, {}),
        )
        at_ns = ended_ns
        for name, took_ms, attributes in stages:
            began_ns = max(at_ns - round(took_ms * 1e6), started_ns)
            self._tracer.start_span(name, start_time=began_ns, attributes=attributes).end(at_ns)
            at_ns = began_ns
        self._tracer.start_span("admission", start_time=started_ns).end(at_ns)

    def close(self) -> None:
        """Send what has not been sent yet. Blocks."""
        self._provider.shutdown()
