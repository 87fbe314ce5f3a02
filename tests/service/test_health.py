"""States and what they look like from outside."""

import pytest
from grpc_health.v1 import health_pb2

from qdts.service.health import SERVICE_NAME, Health, State
from qdts.service.metrics import Metrics

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def status(health: Health, service: str) -> int:
    reply = await health.servicer.Check(health_pb2.HealthCheckRequest(service=service), None)  # type: ignore
    return reply.status


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.READY, SERVING),
        (State.ENGINE_DOWN, NOT_SERVING),
        (State.DRAINING, NOT_SERVING),
        (State.CLOSED, NOT_SERVING),
    ],
)
async def test_only_ready_is_serving(state: State, expected: int) -> None:
    health = Health(metrics := Metrics())
    await health.become(State.READY)
    await health.become(state)
    assert {await status(health, name) for name in ("", SERVICE_NAME)} == {expected}
    assert metrics.value("qdts_ready") == (state is State.READY)


async def test_not_serving_while_loading() -> None:
    health = Health(Metrics())
    await health.become(State.LOADING)
    assert {await status(health, name) for name in ("", SERVICE_NAME)} == {NOT_SERVING}


async def test_no_way_back_from_draining() -> None:
    health = Health(Metrics())
    await health.become(State.DRAINING)
    await health.become(State.READY)
    assert health.state is State.DRAINING
    await health.become(State.CLOSED)
    await health.become(State.DRAINING)
    assert health.state is State.CLOSED
