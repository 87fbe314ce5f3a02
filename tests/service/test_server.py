"""Reflection, health, loading and drain, over real gRPC."""

import asyncio
import contextlib
import threading
import time
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from qdts.errors import ConfigError, Overloaded
from qdts.service.client.faults import error_of, status_of
from qdts.service.transport import TransportConfig
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

SERVICE = "qdts.v1.SummarizationService"
BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)


def call_by_reflection_only(address: str) -> tuple[list[str], dict[str, Any]]:
    """Knows only the address: lists the services, calls Summarize with messages built from descriptors."""
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        names = list(database.get_services())
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName(SERVICE).FindMethodByName("Summarize")
        ask = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type)
        request = ask(query="When was it built?", document={"text": "It was built in 1874. It stands."})
        call = channel.unary_unary(
            f"/{SERVICE}/{method.name}",
            request_serializer=ask.SerializeToString,
            response_deserializer=answer.FromString,
        )
        reply: Any = call(request, timeout=10)
        return names, {"summary": reply.summary, "rung": reply.rung}


async def test_client_that_knows_only_reflection(server: Any) -> None:
    names, reply = await asyncio.to_thread(call_by_reflection_only, server.address)
    assert {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= set(names)
    assert reply == {"summary": "It was built in 1874.", "rung": pb.RUNG_FULL}


async def test_health_answers_while_200_requests_run(server: Any, kit: Any, health: Any, eventually: Any) -> None:
    server.model.step_s = 0.002
    long = "Words that go on and on. " * 400

    async def one(number: int) -> Any:
        text = f"Request {number} is running. {long}"
        tier = pb.TIER_FAST if number % 4 == 0 else pb.TIER_GENERATIVE
        options = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS, tier=tier)
        return await server.stub.Summarize(kit.ask(text=text, options=options), timeout=60)

    calls = [asyncio.ensure_future(one(number)) for number in range(200)]
    await eventually(lambda: server.model.num_steps > 0)
    took: list[float] = []
    while not all(call.done() for call in calls):
        started_at = time.perf_counter()
        assert await health(server, SERVICE) == "SERVING"
        took.append(time.perf_counter() - started_at)
        await asyncio.sleep(0.01)
    assert all(reply.summary for reply in await asyncio.gather(*calls))
    assert len(took) >= 5
    # Client and server share one loop here, and a busy machine; loadtest/ measures the real figure.
    assert sorted(took)[int(len(took) * 0.5)] < 0.5


async def test_a_server_that_is_full_says_so_and_is_well(serve: Any, kit: Any, health: Any, eventually: Any) -> None:
    """What comes on top of the bound is told when to come back; probes and watchers are no part of it."""
    listen = kit.Listen(port=0, drain_delay_s=0.0, max_concurrent_calls=4)
    server = await serve(server=listen)
    checks: Any = health_pb2_grpc.HealthStub(server.channel)
    watching = [checks.Watch(health_pb2.HealthCheckRequest(service=SERVICE)) for _ in range(8)]
    for watch in watching:
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    server.model.gate.clear()
    running = [server.stub.Summarize(kit.ask(text=f"Number {n}.", options=BYPASS), timeout=60) for n in range(4)]
    await eventually(lambda: len(server.model.prepared) == 4)
    for _ in range(8):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await server.stub.Summarize(kit.ask(text="One too many.", options=BYPASS), timeout=60)
        refusal = error_of(status_of(caught.value))
        assert type(refusal) is Overloaded and 0.08 <= refusal.retry_after_s <= 0.12
        assert int(dict(caught.value.trailing_metadata() or ())["grpc-retry-pushback-ms"]) >= 80
        assert await health(server, SERVICE) == "SERVING"
    assert len(server.model.prepared) == 4, "those that were refused cost no work"
    value = server.application.metrics.value
    assert (value("qdts_call_refusals_total"), value("qdts_peer_refusals_total")) == (8, 0)
    server.model.gate.set()
    assert {(await call).rung for call in running} == {pb.RUNG_FULL}
    assert (await server.summarize(text="Now there is room.")).rung == pb.RUNG_FULL
    for watch in watching:
        watch.cancel()


async def test_watchers_are_bounded_and_probes_are_not(serve: Any, health: Any) -> None:
    server = await serve(transport=TransportConfig(max_connections=2))
    checks: Any = health_pb2_grpc.HealthStub(server.channel)
    watching = [checks.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
    for watch in watching:
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await checks.Watch(health_pb2.HealthCheckRequest()).read()
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await health(server) == "SERVING"
    watching.pop().cancel()
    update = grpc.aio.EOF
    for _ in range(1000):  # until the server has noticed that one has gone
        watch = checks.Watch(health_pb2.HealthCheckRequest())
        with contextlib.suppress(grpc.aio.AioRpcError):
            update = await watch.read()
            break
    assert update is not grpc.aio.EOF
    watch.cancel()


async def test_unknown_service_has_no_health(server: Any, health: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health(server, "nothing")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_calls_are_refused_until_the_model_is_there(kit: Any, eventually: Any) -> None:
    go = threading.Event()

    def load(config: Any) -> Any:
        go.wait(10)
        return kit.Model()

    application = kit.Application(kit.config(), load=load)
    starting = asyncio.ensure_future(application.start())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{application.port}") as channel:
        await channel.channel_ready()
        checks: Any = health_pb2_grpc.HealthStub(channel)
        stub: Any = pb_grpc.SummarizationServiceStub(channel)
        check = await checks.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert check.status == health_pb2.HealthCheckResponse.NOT_SERVING
        info = await stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=5)
        assert not info.ready
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Summarize(kit.ask(), timeout=5)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        go.set()
        await starting
        check = await checks.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=5)
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        assert (await stub.Summarize(kit.ask(), timeout=5)).summary
    await application.stop()


async def test_drain_under_load_fails_nobody(serve: Any, kit: Any) -> None:
    """Clients go away when health says so, as load balancers do; what is in flight then is finished."""
    server = await serve(server=kit.Listen(port=0, drain_delay_s=0.3, drain_grace_s=10))
    server.model.step_s = 0.01
    leave = asyncio.Event()
    answered = 0

    async def watch() -> None:
        stub: Any = health_pb2_grpc.HealthStub(server.channel)
        async for update in stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE)):
            if update.status != health_pb2.HealthCheckResponse.SERVING:
                leave.set()
                return

    async def client(number: int) -> None:
        nonlocal answered
        count = 0
        while not leave.is_set():
            text = f"Client {number} sends call {count}. More."
            assert (await server.stub.Summarize(kit.ask(text=text), timeout=10)).summary
            count += 1
            answered += 1

    watching = asyncio.ensure_future(watch())
    clients = [asyncio.ensure_future(client(number)) for number in range(8)]
    await asyncio.sleep(0.3)
    started_at = time.monotonic()
    await server.application.stop()
    assert time.monotonic() - started_at < 5  # the watcher's stream is still open, and not waited for
    await asyncio.gather(*clients, watching)
    assert answered >= 8


async def test_in_flight_calls_finish_and_new_ones_are_refused(serve: Any, kit: Any, eventually: Any) -> None:
    server = await serve()
    server.model.gate.clear()
    running = server.stub.Summarize(kit.ask(options=BYPASS), timeout=10)
    stream = server.stub.StreamSummarize(pb.StreamSummarizeRequest(request=kit.ask(options=BYPASS)), timeout=10)
    reading = asyncio.ensure_future(collect(stream))
    await eventually(lambda: len(server.model.prepared) == 2)
    stopping = asyncio.ensure_future(server.application.stop())
    await eventually(lambda: server.application.health.state.value == "closed")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.stub.Summarize(kit.ask(), timeout=2)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    server.model.gate.set()
    assert (await running).rung == pb.RUNG_FULL
    assert (await reading)[-1].response.rung == pb.RUNG_FULL
    await stopping


async def collect(stream: Any) -> list[Any]:
    return [event async for event in stream]


async def test_port_in_use_is_said_at_start(server: Any, kit: Any) -> None:
    with pytest.raises(ConfigError, match=str(server.application.port)):
        kit.Application(kit.config(server=kit.Listen(port=server.application.port)))
