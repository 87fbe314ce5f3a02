"""Spans by OpenTelemetry, where that is installed (`qdts[otel]`) and asked for; else nothing. Never any text.

A call's span continues the caller's trace (W3C traceparent). Below it stand `cache`, `admission`, `engine wait`,
`encode` and `decode`: the last three are as long as the reply says, laid end to end up to its leaving; admission
is what came before them. Where spans go is said by OpenTelemetry's own variables, OTEL_EXPORTER_OTLP_ENDPOINT and
OTEL_TRACES_SAMPLER above all.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from qdts.errors import ConfigError
from qdts.service.cache import Entry, Lifetimes, LruCache
from qdts.service.cache_levels import ReplyCache, SharedCache
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.deadline import Deadline
from qdts.service.reply import Reply

Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingConfig:
    """Off, or to wherever OpenTelemetry's variables say."""

    enabled: bool = False


class Tracer(Protocol):
    """What the server says of a call, and when."""

    def call(self, method: str, metadata: Metadata) -> AbstractContextManager[object]:
        """A block that is one call."""
        ...

    def part(self, name: str) -> AbstractContextManager[object]:
        """A block that is a part of the call it stands in."""
        ...

    def ended(self, code: str) -> None:
        """With which status the call ends that this stands in."""
        ...

    def answered(self, reply: Reply, *, started_ns: int) -> None:
        """What was answered just now, and since when that was worked on (Unix time)."""
        ...

    def close(self) -> None:
        """Send what has not been sent yet. Blocks."""
        ...


class NoTracer:
    """Says nothing."""

    def call(self, method: str, metadata: Metadata) -> AbstractContextManager[object]:
        """Nothing."""
        return nullcontext()

    def part(self, name: str) -> AbstractContextManager[object]:
        """Nothing."""
        return nullcontext()

    def ended(self, code: str) -> None:
        """Nothing."""

    def answered(self, reply: Reply, *, started_ns: int) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class TracedCache(ReplyCache):
    """A cache as it is; looking into it is a part of the call."""

    def __init__(
        self, tracer: Tracer, *, near: LruCache, far: SharedCache | None, lifetimes: Lifetimes, metrics: CacheMetrics
    ) -> None:
        super().__init__(near=near, far=far, lifetimes=lifetimes, metrics=metrics)
        self._tracer = tracer

    async def get(self, key: bytes, deadline: Deadline) -> Entry | None:
        """As the cache's, in a span."""
        with self._tracer.part("cache"):
            return await super().get(key, deadline)


def make_tracer(config: TracingConfig) -> Tracer:
    """What the configuration asks for. ConfigError where that is not installed."""
    if not config.enabled:
        return NoTracer()
    try:
        from qdts.service.otel import OtelTracer
    except ImportError as error:
        raise ConfigError("tracing.enabled: needs OpenTelemetry, pip install 'qdts[otel]'") from error
    return OtelTracer.to_collector()
