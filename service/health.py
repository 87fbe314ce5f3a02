"""Whether this server should be sent calls, said by grpc.health.v1 for it as a whole and for the service.

Serving means warmed up, engine alive, not draining. Overload is not unhealthy: sending traffic away from a
server that sheds would only move the overload.
"""

import asyncio
from enum import Enum
from typing import Any

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from qdts.service.metrics import Metrics
from qdts.v1 import summarization_pb2 as pb

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["SummarizationService"].full_name
# A watcher that does not read must not hold up the others, nor the drain.
NOTIFY_TIMEOUT_S = 1.0
# As many as there may be connections, by default.
MAX_WATCHERS = 10_000


class State(Enum):
    """From start to exit. ENGINE_DOWN and DRAINING still answer; the former without the model."""

    LOADING = "loading"
    READY = "ready"
    ENGINE_DOWN = "engine_down"
    DRAINING = "draining"
    CLOSED = "closed"


class _BoundedWatch(health.aio.HealthServicer):
    """Watchers beyond a number are refused: each holds a place for as long as its connection lasts."""

    def __init__(self, max_watchers: int) -> None:
        super().__init__()
        self._max_watchers, self._num_watchers = max_watchers, 0

    async def Watch(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]) -> None:  # noqa: N802
        if self._num_watchers >= self._max_watchers:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._max_watchers} watch already")
        self._num_watchers += 1
        try:
            await super().Watch(request, context)
        finally:
            self._num_watchers -= 1


class Health:
    """The server's state and its health service."""

    def __init__(self, metrics: Metrics, *, max_watchers: int = MAX_WATCHERS) -> None:
        self.servicer = _BoundedWatch(max_watchers)
        self._metrics = metrics
        self._state = State.LOADING

    @property
    def state(self) -> State:
        """Where the server stands."""
        return self._state

    async def become(self, state: State) -> None:
        """Enter a state and tell. From DRAINING the only way is on to CLOSED."""
        if self._state is State.CLOSED or (self._state is State.DRAINING and state is not State.CLOSED):
            return
        self._state = state
        self._metrics.set_ready(state is State.READY)
        status = HealthCheckResponse.SERVING if state is State.READY else HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE_NAME):
            try:
                await asyncio.wait_for(self.servicer.set(name, status), NOTIFY_TIMEOUT_S)
            except TimeoutError:
                continue
