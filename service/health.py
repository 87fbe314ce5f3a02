"""Whether this server should be sent calls, said by grpc.health.v1 for it as a whole and for the service.

Serving means warmed up, engine alive, not draining. Overload is not unhealthy: sending traffic away from a
server that sheds would only move the overload.
"""

import asyncio
from enum import Enum

from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from qdts.service.metrics import Metrics
from qdts.v1 import summarization_pb2 as pb

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["SummarizationService"].full_name
# A watcher that does not read must not hold up the others, nor the drain.
NOTIFY_TIMEOUT_S = 1.0


class State(Enum):
    """From start to exit. ENGINE_DOWN and DRAINING still answer; the former without the model."""

    LOADING = "loading"
    READY = "ready"
    ENGINE_DOWN = "engine_down"
    DRAINING = "draining"
    CLOSED = "closed"


class Health:
    """The server's state and its health service."""

    def __init__(self, metrics: Metrics) -> None:
        self.servicer = health.aio.HealthServicer()
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
