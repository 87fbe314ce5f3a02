"""The operators' RPCs over real connections: who may call them, what they do, and that they wait for no work."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qdts.errors import ConfigError, Conflict, InvalidRequest, Unauthenticated
from qdts.service import logs
from qdts.service.admin_config import AdminConfig
from qdts.service.admin_servicer import find_below
from qdts.service.auth import AuthConfig
from qdts.service.canary import CanaryConfig, CanaryState
from qdts.service.client.faults import error_of, status_of
from qdts.service.config import ServerConfig
from qdts.service.tls import TlsConfig
from qdts.v1 import admin_pb2 as pb
from qdts.v1 import admin_pb2_grpc as pb_grpc
from qdts.v1 import summarization_pb2 as calls_pb
from qdts.v1 import summarization_pb2_grpc as calls_pb_grpc

TOKEN, PUBLIC_TOKEN = "operators-token-0123456789", "callers-token-0123456789"
BYPASS = calls_pb.SummarizeOptions(cache_policy=calls_pb.CACHE_POLICY_BYPASS)
Operated = Any


class House:
    """A server with both ports, whose models are made by `load`."""

    def __init__(self, application: Any, operators: grpc.aio.Channel, callers: grpc.aio.Channel) -> None:
        self.application = application
        self._stub: Any = pb_grpc.AdminServiceStub(operators)
        self.operators, self.callers = operators, callers
        self.calls: Any = calls_pb_grpc.SummarizationServiceStub(callers)

    async def ask(self, method: str, token: str = TOKEN, **fields: Any) -> Any:
        request = getattr(pb, f"{method}Request")(**fields)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        try:
            return await getattr(self._stub, method)(request, timeout=20, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise error_of(status_of(error)) from error  # type: ignore[arg-type]

    async def status(self) -> pb.GetStatusResponse:
        return await self.ask("GetStatus")

    async def swapped(self) -> pb.ModelSwap:
        async with asyncio.timeout(20):
            while (swap := (await self.status()).swap).state == pb.SWAP_STATE_RUNNING:
                await asyncio.sleep(0.01)
        return swap


@pytest.fixture(name="house")
def _house(kit: Any, tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def house(load: Any = None, *, models_dir: str = "", **sections: Any) -> AsyncIterator[House]:
        tokens = tmp_path / "tokens"
        tokens.write_text(f"{TOKEN}\n")
        admin = AdminConfig(port=0, token_file=str(tokens), models_dir=models_dir)
        config = kit.config(admin=admin, **sections)
        application = kit.Application(config, load=load or (lambda asked: kit.Model()))
        await application.start()
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{application.operators_port}") as operators,
            grpc.aio.insecure_channel(f"127.0.0.1:{application.port}") as callers,
        ):
            yield House(application, operators, callers)
        await application.stop()

    return house


async def test_it_is_off_until_a_port_is_named(server: Any) -> None:
    assert server.application.operators_port is None


@pytest.mark.parametrize("method", ["GetStatus", "SwapModel", "PromoteCanary", "StopCanary", "Drain", "SetLogLevel"])
async def test_nothing_of_it_is_on_the_public_port_and_none_without_the_token(house: Any, method: str) -> None:
    async with house(auth=AuthConfig(tokens=f"{PUBLIC_TOKEN}, {TOKEN}")) as ours:
        for token in ("", PUBLIC_TOKEN, TOKEN + "x", TOKEN[:-1]):
            with pytest.raises(Unauthenticated):
                await ours.ask(method, token)
        public: Any = pb_grpc.AdminServiceStub(ours.callers)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            request = getattr(pb, f"{method}Request")()
            await getattr(public, method)(request, timeout=5, metadata=(("authorization", f"Bearer {TOKEN}"),))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert (await ours.status()).state == pb.SERVER_STATE_READY, "nothing was done"


async def test_calls_are_not_on_the_operators_port(house: Any, kit: Any) -> None:
    async with house() as ours:
        stub: Any = calls_pb_grpc.SummarizationServiceStub(ours.operators)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Summarize(kit.ask(), timeout=5, metadata=(("authorization", f"Bearer {TOKEN}"),))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_its_health_needs_no_token(house: Any) -> None:
    async with house() as ours:
        stub: Any = health_pb2_grpc.HealthStub(ours.operators)
        for service in ("", "qdts.v1.AdminService"):
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_status_says_how_the_server_is(house: Any, kit: Any) -> None:
    async with house() as ours:
        for _ in range(2):
            assert (await ours.calls.Summarize(kit.ask(), timeout=10)).summary
        status = await ours.status()
        assert (status.state, status.model_version) == (pb.SERVER_STATE_READY, "fake@0123")
        assert status.version and status.uptime_seconds > 0 and not status.problem
        assert [each.priority for each in status.classes] == [1, 2, 3]
        assert {each.best_rung for each in status.classes} == {calls_pb.RUNG_FULL}
        assert status.concurrency_limit == kit.Engine().max_batch + kit.Engine().max_queue
        [full] = [cost for cost in status.costs if cost.rung == calls_pb.RUNG_FULL]
        assert full.num_times == 1 and full.milliseconds > 0 and full.max_tokens >= len(kit.LIGHTHOUSE) // 4
        assert status.cache.num_entries == 1 and status.cache.num_bytes > 0
        assert status.cache.redis_read == pb.BREAKER_STATE_UNSPECIFIED
        assert not status.HasField("swap") and not status.HasField("canary")


async def test_it_waits_for_no_work(house: Any, kit: Any, eventually: Any) -> None:
    """The model stands still and the public port holds all that it lets in."""
    model = kit.Model()
    listen = kit.Listen(port=0, drain_delay_s=0.0, max_concurrent_calls=20)
    async with house(lambda asked: model, server=listen) as ours:
        model.gate.clear()
        asked = [
            asyncio.ensure_future(ours.calls.Summarize(kit.ask(text=f"Number {n}.", options=BYPASS), timeout=60))
            for n in range(20)
        ]
        await eventually(lambda: ours.application._servicer.answerer.num_waiting == 19)
        started_at = time.monotonic()
        status = await ours.status()
        assert time.monotonic() - started_at < 5  # milliseconds, were the machine ours alone
        assert (status.classes[0].num_waiting, status.classes[0].num_inside, status.num_running) == (19, 20, 1)
        model.gate.set()
        assert all(reply.summary for reply in await asyncio.gather(*asked))


async def test_while_the_first_model_is_loaded_it_answers(kit: Any, house: Any, tmp_path: Path) -> None:
    model = kit.Model()
    model.gate.clear()  # its warm-up hangs
    (tmp_path / "tokens").write_text(TOKEN)
    admin = AdminConfig(port=0, token_file=str(tmp_path / "tokens"))
    application = kit.Application(kit.config(admin=admin), load=lambda asked: model)
    starting = asyncio.ensure_future(application.start())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{application.operators_port}") as channel:
        status = await House(application, channel, channel).status()
        assert (status.state, status.model_version) == (pb.SERVER_STATE_LOADING, "")
    model.gate.set()
    await starting
    await application.stop()


async def test_swap_under_load_fails_nobody(house: Any, kit: Any, eventually: Any, tmp_path: Path) -> None:
    for name in ("new", "worse"):
        (tmp_path / name).mkdir()
    asked_for: list[str] = []

    def load(asked: Any) -> Any:
        asked_for.append(Path(asked.model).name)
        version = f"{asked_for[-1] or 'old'}@1"
        return kit.Model(version=version, step_s=0.002, invents=asked_for[-1] == "worse")

    replies: list[calls_pb.SummarizeResponse] = []
    async with house(load, models_dir=str(tmp_path), engine=kit.Engine(max_batch=4)) as ours:
        end = asyncio.Event()

        async def caller(name: int) -> None:
            while not end.is_set():
                request = kit.ask(text=f"Client {name} asks for time {len(replies)}.", options=BYPASS)
                replies.append(await ours.calls.Summarize(request, timeout=20))

        callers = [asyncio.ensure_future(caller(name)) for name in range(8)]
        await eventually(lambda: len(replies) > 20)
        began = await ours.ask("SwapModel", model="new")
        assert (began.swap.number, began.swap.state) == (1, pb.SWAP_STATE_RUNNING)
        swap = await ours.swapped()
        assert (swap.state, swap.model_version) == (pb.SWAP_STATE_SUCCEEDED, "new@1")
        assert swap.ended_at.ToNanoseconds() > swap.started_at.ToNanoseconds() > 0
        await ours.ask("SwapModel", model="worse")
        swap = await ours.swapped()
        assert swap.number == 2 and swap.state == pb.SWAP_STATE_FAILED and "warm-up" in swap.problem
        assert (await ours.status()).model_version == "new@1"
        at = len(replies)
        await eventually(lambda: len(replies) > at + 20)
        end.set()
        await asyncio.gather(*callers)  # a call that failed would fail here
        assert {reply.rung for reply in replies} == {calls_pb.RUNG_FULL}
        assert {reply.model_version for reply in replies} == {"old@1", "new@1"}
        assert asked_for == ["", "new", "worse"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_an_engine_that_dies_is_started_with_the_model_that_was_put_in_place(
    house: Any, kit: Any, tmp_path: Path, eventually: Any
) -> None:
    (tmp_path / "new").mkdir()
    made: list[Any] = []

    def load(asked: Any) -> Any:
        made.append(kit.Model(version=f"{Path(asked.model).name or 'old'}@{len(made)}"))
        return made[-1]

    async with house(load, models_dir=str(tmp_path)) as ours:
        await ours.ask("SwapModel", model="new")
        await ours.swapped()
        made[1].step_error = SystemExit()
        await ours.calls.Summarize(kit.ask(options=BYPASS), timeout=10)
        await eventually(lambda: len(made) == 3)
        await eventually(lambda: ours.application._servicer.answerer.version == "new@2", 20)
        await ours.ask("SwapModel")
        assert (await ours.swapped()).model_version == "old@3", "what engine.model names"


async def test_one_swap_at_a_time(house: Any, kit: Any, eventually: Any) -> None:
    models = [kit.Model(), kit.Model(version="slow@2")]
    models[1].gate.clear()
    left = [*models]
    async with house(lambda asked: left.pop(0)) as ours:
        await ours.ask("SwapModel")
        with pytest.raises(Conflict, match="another swap"):
            await ours.ask("SwapModel")
        models[1].gate.set()
        assert (await ours.swapped()).number == 1


async def test_no_other_model_where_no_directory_is_named(house: Any) -> None:
    async with house() as ours:
        with pytest.raises(InvalidRequest, match=r"admin\.models_dir"):
            await ours.ask("SwapModel", model="new")


def test_models_lie_below_their_directory_whatever_leads_there(tmp_path: Path) -> None:
    models, outside = tmp_path / "models", tmp_path / "outside"
    for folder in (models / "a" / "b", outside):
        folder.mkdir(parents=True)
    (models / "file").write_text("")
    (models / "current").symlink_to("a/b")
    (models / "escape").symlink_to(outside)
    (models / "circle").symlink_to("circle")
    found = {name: find_below(str(models), name) for name in ("a", "a/b", "current", "a/../a")}
    inside = models.resolve()
    assert found == {
        "a": str(inside / "a"),
        "a/b": str(inside / "a/b"),
        "current": str(inside / "a/b"),
        "a/../a": str(inside / "a"),
    }
    no_paths = ("circle", "a\0b", "x" * 5000)
    for wrong in ("..", "../outside", "escape", str(outside), ".", "file", "missing", "a/../../outside", *no_paths):
        with pytest.raises(InvalidRequest, match="below admin.models_dir") as caught:
            find_below(str(models), wrong)
        assert str(tmp_path) not in str(caught.value)


async def test_the_canary_is_told_of_promoted_and_stopped(house: Any, kit: Any, eventually: Any) -> None:
    def load(asked: Any) -> Any:
        return kit.Model(version=f"{asked.model or 'old'}@1")

    canary = CanaryConfig(model="new", share=1.0)
    for action in ("StopCanary", "PromoteCanary"):
        async with house(load, canary=canary) as ours:
            await eventually(lambda: ours.application._canary.canary.state is CanaryState.RUNNING)
            assert (await ours.calls.Summarize(kit.ask(options=BYPASS), timeout=10)).model_version == "new@1"
            told = (await ours.status()).canary
            assert (told.model, told.model_version, told.state) == ("new", "new@1", pb.CANARY_STATE_RUNNING)
            assert (told.share, told.canary.num_answers, told.stable.num_answers) == (1.0, 1, 0)
            await ours.ask(action)
            if action == "PromoteCanary":
                assert (await ours.swapped()).model_version == "new@1"
                await eventually(lambda: ours.application._canary.canary.is_over)
            told = (await ours.status()).canary
            ended = pb.CANARY_STATE_STOPPED if action == "StopCanary" else pb.CANARY_STATE_PROMOTED
            assert told.state == ended
            expected = "old@1" if action == "StopCanary" else "new@1"
            assert (await ours.calls.Summarize(kit.ask(options=BYPASS), timeout=10)).model_version == expected
            with pytest.raises(Conflict):
                await ours.ask(action)


async def test_drain_ends_the_server_as_a_signal_does(house: Any, kit: Any) -> None:
    async with house() as ours:
        ending = asyncio.ensure_future(ours.application.run_until(asyncio.Event()))
        await asyncio.sleep(0)
        await ours.ask("Drain")
        assert await asyncio.wait_for(ending, 10) == 0


async def test_a_draining_server_takes_no_other_model_and_still_says_how_it_is(house: Any, kit: Any) -> None:
    listen = kit.Listen(port=0, drain_delay_s=1.0)
    async with house(server=listen) as ours:
        stopping = asyncio.ensure_future(ours.application.stop())
        await asyncio.sleep(0.1)
        assert (await ours.status()).state == pb.SERVER_STATE_DRAINING
        with pytest.raises(Exception, match="about to exit"):
            await ours.ask("SwapModel")
        await stopping


async def test_log_level(house: Any, capfd: pytest.CaptureFixture[str]) -> None:
    async with house() as ours:
        before = (await ours.ask("SetLogLevel", level=pb.LOG_LEVEL_ERROR)).previous
        assert before == pb.LOG_LEVEL_DEBUG
        capfd.readouterr()
        assert (await ours.status()).log_level == pb.LOG_LEVEL_ERROR
        assert capfd.readouterr().err == ""
        assert (await ours.ask("SetLogLevel", level=pb.LOG_LEVEL_INFO)).previous == pb.LOG_LEVEL_ERROR
        await ours.status()
        lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
        assert "GetStatus" in {line.get("method") for line in lines}
        for wrong in (pb.LOG_LEVEL_UNSPECIFIED, 9):
            with pytest.raises(InvalidRequest, match="level: is"):
                await ours.ask("SetLogLevel", level=wrong)
    assert logs.level_now() == "info"


@pytest.mark.parametrize(
    ("admin", "tls", "says"),
    [
        ({"port": 1}, {}, r"admin\.port: needs admin\.token_file or"),
        ({"port": -2}, {}, r"admin\.port = -2: must be between -1 and 65535"),
        ({"port": 1, "token_file": "x", "host": "0.0.0.0"}, {}, r"needs tls\.cert_file"),
        ({"port": 1, "token_file": "x", "host": "ops.internal"}, {}, r"needs tls\.cert_file"),
        ({"port": 1, "client_ca_file": "x"}, {}, r"needs tls\.cert_file"),
    ],
)
def test_who_may_call_is_said_or_it_does_not_start(admin: dict[str, Any], tls: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ServerConfig(admin=AdminConfig(**admin), tls=TlsConfig(**tls))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_on_this_machine_a_token_is_enough(host: str) -> None:
    assert ServerConfig(admin=AdminConfig(port=1, host=host, token_file="x")).admin.is_on


def test_token_file_that_is_not_there_stops_the_start(kit: Any) -> None:
    async def start() -> None:
        kit.Application(kit.config(admin=AdminConfig(port=0, token_file="/nowhere")), load=lambda asked: None)

    with pytest.raises(ConfigError, match="/nowhere"):
        asyncio.run(start())
