"""What operators are told and may do, as far as it is seen within one process. As a server: fleet/test_operated.py."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToJson

from qdts.errors import ConfigError, Conflict, Draining
from qdts.service.admin import AdminEndpoint
from qdts.service.admin_config import AdminConfig
from qdts.service.client.operator import Operator
from qdts.service.config import ServerConfig
from qdts.service.health import State
from qdts.service.hosting import SwapState
from qdts.service.metrics import Metrics
from qdts.service.processes import operated_fleet
from qdts.service.processes.config import ProcessesConfig
from qdts.service.processes.merged_metrics import MergedMetrics
from qdts.service.processes.operated_fleet import OperatedFleet
from qdts.service.processes.probe import ask
from qdts.service.processes.supervisor import Supervisor
from qdts.v1 import admin_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as calls_pb_grpc

TOKEN = "operators-token-0123456789"


@pytest.fixture(name="configure")
def _configure(kit: Any, tmp_path: Path) -> Callable[..., ServerConfig]:
    """configure(port=0, **sections): settings of one front without a model."""
    (tmp_path / "operators").write_text(TOKEN)

    def configure(*, port: int = 0, **sections: Any) -> ServerConfig:
        return kit.config(
            admin=AdminConfig(port=port, token_file=str(tmp_path / "operators")),
            engine=kit.Engine(model="none"),
            processes=ProcessesConfig(fronts=1),
            **sections,
        )

    return configure


class Front:
    """As a place with a front in it that says what it answers with; is_heard False: it does not."""

    def __init__(self, name: str, said: pb.GetStatusResponse) -> None:
        self.name, self.leaving, self.is_heard, self.said = name, dict[Any, Any](), True, said
        self._endpoint = AdminEndpoint(
            Metrics(),
            host="127.0.0.1",
            port=0,
            state=lambda: State.READY,
            problem=lambda: None,
            status=lambda: MessageToJson(self.said) if self.is_heard else None,
        )
        self.child: Any = SimpleNamespace(admin_port=self._endpoint.port, pid=1)

    def close(self) -> None:
        self._endpoint.close()


async def test_a_swap_waits_for_fronts_and_says_who_is_late(
    configure: Callable[..., ServerConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    fronts = [Front(f"front-{number}", pb.GetStatusResponse(model_version="new@2")) for number in range(3)]
    supervisor: Any = SimpleNamespace(
        metrics=MergedMetrics(lambda: []),
        fronts=SimpleNamespace(places=fronts),
        engines=SimpleNamespace(version="new@2"),
    )
    operated = OperatedFleet(supervisor, configure())
    assert await operated.gone_over() == ""
    monkeypatch.setattr(operated_fleet, "GO_OVER_S", 0.3)
    fronts[1].said = pb.GetStatusResponse(model_version="old@1")
    fronts[2].is_heard = False
    assert await operated.gone_over() == "not gone over: front-1, front-2"
    fronts[2].child = None  # it will begin with the newest
    assert await operated.gone_over() == "not gone over: front-1"
    monkeypatch.setattr(operated_fleet, "GO_OVER_S", 60.0)
    waiting = asyncio.ensure_future(operated.gone_over())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    fronts[1].said = pb.GetStatusResponse(model_version="new@2")
    assert await waiting == ""
    for front in fronts:
        await asyncio.to_thread(front.close)
    await operated.stop()


async def test_it_answers_while_the_first_engine_is_started(configure: Callable[..., ServerConfig], kit: Any) -> None:
    supervisor = Supervisor(replace(configure(), engine=kit.Engine(model="", num_threads=1)))
    starting = asyncio.ensure_future(supervisor.start())
    with Operator(f"127.0.0.1:{supervisor.operators_port}", token=TOKEN, timeout_s=30) as operator:
        status = await asyncio.to_thread(operator.status)
        assert (status.state, status.model_version) == (pb.SERVER_STATE_LOADING, "")
        assert [*status.processes] == [pb.ProcessStatus(name="front-0", state=pb.PROCESS_STATE_AWAY)]
        swap = await asyncio.to_thread(operator.swap_model)
        assert swap.state == pb.SWAP_STATE_RUNNING, "it waits for the first one"
        assert not starting.done()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await supervisor.stop()
    assert supervisor.pids == {}


async def test_a_port_that_is_taken_ends_the_start_and_leaves_nothing(
    configure: Callable[..., ServerConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Supervisor(configure())
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(ConfigError, match="admin: cannot listen"):
        Supervisor(configure(port=first.operators_port))
    assert [*(tmp_path / "tmp").iterdir()] == []
    await first.stop()


async def test_should_its_server_end_the_rest_goes_on(configure: Callable[..., ServerConfig], kit: Any) -> None:
    supervisor = Supervisor(configure(metrics=kit.Metrics(port=0)))
    await supervisor.start()
    assert supervisor._operated is not None and supervisor.admin_port is not None
    await supervisor._operated._server._server.stop(0)
    supervisor.swap_model()
    assert supervisor.engines.last_swap is not None
    await asyncio.wait_for(supervisor.engines.last_swap.ended.wait(), 60)
    assert supervisor.engines.last_swap.state is SwapState.SUCCEEDED
    said = await asyncio.to_thread(ask, supervisor.admin_port, "/readyz")
    assert said is not None and said.text == "ready"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{supervisor.port}") as channel:
        stub: Any = calls_pb_grpc.SummarizationServiceStub(channel)
        assert (await stub.Summarize(kit.ask(), timeout=20)).summary
    pid = supervisor.pids["front-0"]
    await supervisor.stop()
    assert not Path(f"/proc/{pid}").exists()


async def test_one_swap_at_a_time_and_none_at_the_end(configure: Callable[..., ServerConfig]) -> None:
    supervisor = Supervisor(configure())
    assert supervisor.swap(None).number == 1
    with pytest.raises(Conflict, match="another swap"):
        supervisor.swap(None)
    supervisor.swap_model()  # a signal's waits for its turn
    assert supervisor.engines.last_swap is not None and supervisor.engines.last_swap.number == 2
    await asyncio.wait_for(supervisor.engines.last_swap.ended.wait(), 60)
    assert supervisor.swap(None).number == 3
    await supervisor.stop()
    with pytest.raises(Draining):
        supervisor.swap(None)


async def test_without_the_port_nothing_of_it_is_there(configure: Callable[..., ServerConfig], kit: Any) -> None:
    supervisor = Supervisor(kit.config(engine=kit.Engine(model="none"), processes=ProcessesConfig(fronts=1)))
    assert supervisor.operators_port is None
    await supervisor.stop()
