"""Operators of a server of several processes: what they are told of all of them, and what they may do to it."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qdts.errors import Conflict, InvalidRequest, Unauthenticated
from qdts.models.manifest import MANIFEST
from qdts.models.shipped import find_model
from qdts.service.cli import main
from qdts.service.client.operator import Operator
from qdts.v1 import admin_pb2 as pb
from qdts.v1 import summarization_pb2 as calls_pb

TOKEN = "operators-token-0123456789"
MODEL = {"ENGINE__MODEL": "", "ENGINE__MAX_BATCH": 4, "ENGINE__NUM_THREADS": 1}
BY_MODEL = {calls_pb.RUNG_FULL, calls_pb.RUNG_SHORTER, calls_pb.RUNG_PASSAGES}


@pytest.fixture(name="operate")
def _operate(start: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """operate(**settings): a server that is ready, and one who operates it."""
    (tmp_path / "operators").write_text(TOKEN)
    (tmp_path / "models").mkdir()
    own = {
        "ADMIN__PORT": 0,
        "ADMIN__TOKEN_FILE": tmp_path / "operators",
        "ADMIN__MODELS_DIR": tmp_path / "models",
    }
    with ExitStack() as stack:

        def operate(**settings: object) -> Any:
            fleet = start(**{**own, **settings}).ready()
            operator = Operator(f"127.0.0.1:{fleet.operators_port}", token=TOKEN, timeout_s=30)
            return SimpleNamespace(fleet=fleet, operator=stack.enter_context(operator))

        yield operate


@pytest.fixture(name="other")
def _other(tmp_path: Path) -> Callable[[], str]:
    """other(): makes the model that ships by another name, below models_dir; its version."""

    def make() -> str:
        shipped = find_model("")
        assert shipped is not None
        copy = tmp_path / "models" / "other"
        shutil.copytree(shipped, copy)
        manifest = json.loads((copy / MANIFEST).read_text())
        version = f"other@{_version_of(shipped).partition('@')[2]}"
        (copy / MANIFEST).write_text(json.dumps(manifest | {"name": "other"}))
        return version

    return make


def _version_of(model: Path) -> str:
    from qdts.models.manifest import read

    return read(model).label


def processes(status: pb.GetStatusResponse) -> dict[str, pb.ProcessStatus]:
    """Those in their places, by name."""
    return {each.name: each for each in status.processes if each.state != pb.PROCESS_STATE_LEAVING}


def swapped(ours: Any, see: Any) -> pb.ModelSwap:
    def ended() -> pb.ModelSwap | None:
        swap = ours.operator.status().swap
        return swap if swap.state != pb.SWAP_STATE_RUNNING else None

    return see.until(ended, "the swap does not end")


def test_status_is_of_all_processes(operate: Any, load: Any, see: Any) -> None:
    ours = operate()
    fleet, operator = ours.fleet, ours.operator
    clients = load(fleet.port, num=16)
    clients.wait_for_answers()
    inside = see.until(lambda: sum(each.num_inside for each in operator.status().classes), "nobody is inside")
    assert 0 < inside <= 16
    clients.stop()
    status = operator.status()
    assert (status.state, status.model_version, status.problem) == (pb.SERVER_STATE_READY, "", "")
    assert status.version and status.uptime_seconds > 0 and status.log_level == pb.LOG_LEVEL_INFO
    assert not status.HasField("swap") and not status.HasField("canary")
    assert {name: each.pid for name, each in processes(status).items()} == fleet.children()
    assert {(each.state, each.num_restarts) for each in status.processes} == {(pb.PROCESS_STATE_READY, 0)}
    os.kill(fleet.children()["front-1"], signal.SIGKILL)
    see.until(lambda: processes(operator.status())["front-1"].num_restarts, "it is not started again")
    see.until(lambda: processes(operator.status())["front-1"].state == pb.PROCESS_STATE_READY, "it is not back")
    now = processes(operator.status())
    assert now["front-1"].pid == fleet.children()["front-1"] != status.processes[1].pid
    assert now["front-0"] == status.processes[0]
    assert fleet.sample("qdts_calls_total", process="supervisor", method="GetStatus", code="OK") > 3


def test_caches_are_added_up(operate: Any, see: Any, kit: Any) -> None:
    import grpc

    from qdts.v1 import summarization_pb2_grpc as calls_pb_grpc

    ours = operate()
    for number in range(12):
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{ours.fleet.port}", options=options) as channel:
            stub: Any = calls_pb_grpc.SummarizationServiceStub(channel)
            assert stub.Summarize(kit.ask(text=f"Number {number} is asked. And this."), timeout=20).summary
    cache = ours.operator.status().cache
    assert cache.num_entries == 12 and cache.num_bytes > 0


def test_stopped_front_holds_no_operator_up(operate: Any, see: Any) -> None:
    ours = operate(LIFECYCLE__MAX_LOOP_STALL_S=30.0)
    os.kill(ours.fleet.children()["front-1"], signal.SIGSTOP)

    def is_seen() -> bool:
        now = processes(ours.operator.status())  # within the 30 s of its deadline
        return (now["front-0"].state, now["front-1"].state) == (pb.PROCESS_STATE_READY, pb.PROCESS_STATE_NOT_READY)

    see.until(is_seen, "it is not seen")
    assert ours.operator.status().state == pb.SERVER_STATE_READY, "the other one is there"
    os.kill(ours.fleet.children()["front-1"], signal.SIGCONT)


def test_who_may_and_what_there_is_not(operate: Any, tmp_path: Path) -> None:
    ours = operate()
    with Operator(f"127.0.0.1:{ours.fleet.operators_port}", token="x" + TOKEN) as stranger:
        for ask in (stranger.status, stranger.drain, stranger.swap_model, lambda: stranger.set_log_level("debug")):
            with pytest.raises(Unauthenticated):
                ask()
    for ask in (ours.operator.promote_canary, ours.operator.stop_canary):
        with pytest.raises(Conflict, match="a server of several processes has no canary"):
            ask()
    with pytest.raises(InvalidRequest, match="below admin.models_dir"):
        ours.operator.swap_model("../models")
    assert ours.operator.status().state == pb.SERVER_STATE_READY


def test_drain_ends_it_as_a_signal_does(operate: Any, load: Any, tmp_path: Path) -> None:
    ours = operate(SERVER__DRAIN_DELAY_S=1.0)
    ours.operator.drain()
    ours.fleet.wait_for("draining")
    assert ours.operator.status().state == pb.SERVER_STATE_DRAINING
    assert ours.fleet.wait() == 0
    for front in ("front-0", "front-1"):
        assert ours.fleet.said("stopped", process=front)
    ours.fleet.wait_for_orphans()
    assert [*tmp_path.glob("qdts-*")] == []


def test_drain_during_a_swap_leaves_nothing_behind(operate: Any, see: Any, tmp_path: Path) -> None:
    ours = operate(**{**MODEL, "PROCESSES__ENGINES": 2})
    assert ours.operator.swap_model().state == pb.SWAP_STATE_RUNNING
    see.until(lambda: {"engine-1-0", "engine-1-1"} <= set(ours.fleet.children()), "no newer engines")
    ours.operator.drain()
    assert ours.fleet.wait() == 0
    ours.fleet.wait_for_orphans()
    assert [*tmp_path.glob("qdts-*")] == []


def test_log_level_is_that_of_all_processes_also_of_those_that_come_later(operate: Any, see: Any) -> None:
    ours = operate()
    fleet = ours.fleet

    def restart() -> None:
        before = processes(ours.operator.status())["front-0"]
        os.kill(before.pid, signal.SIGKILL)

        def is_back() -> bool:
            now = processes(ours.operator.status())["front-0"]
            return now.num_restarts > before.num_restarts and now.state == pb.PROCESS_STATE_READY

        see.until(is_back, "it is not back")

    assert ours.operator.set_log_level("error") == "info"
    assert ours.operator.status().log_level == pb.LOG_LEVEL_ERROR
    restart()
    assert len(fleet.said("ready", process="front-0")) == 1, "it began with what was set"
    assert ours.operator.set_log_level("debug") == "error"
    os.kill(fleet.children()["front-1"], signal.SIGUSR1)
    fleet.wait_for("leaving", process="front-1")  # one that was there
    restart()
    fleet.wait_for("ready", process="front-0", times=2)


def test_swap_under_load_fails_nobody_and_stays_whatever_dies(
    operate: Any, other: Any, load: Any, see: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ours = operate(**MODEL)
    fleet, operator, version = ours.fleet, ours.operator, other()
    before = operator.status().model_version
    assert before and {each.model_version for each in operator.status().processes} == {before}
    clients = load(fleet.port, num=4, tier=calls_pb.TIER_GENERATIVE)
    clients.wait_for_answers(2)
    began = operator.swap_model("other")
    assert (began.number, began.state) == (1, pb.SWAP_STATE_RUNNING)
    with pytest.raises(Conflict, match="another swap"):
        operator.swap_model()
    swap = swapped(ours, see)
    assert (swap.number, swap.state, swap.model_version, swap.problem) == (1, pb.SWAP_STATE_SUCCEEDED, version, "")
    assert swap.ended_at.ToNanoseconds() > swap.started_at.ToNanoseconds() > 0
    at = [len(versions) for versions in clients.versions]
    clients.wait_for_answers(3)
    # What was asked before its end may have been answered by the old one: one call of each.
    for since, versions in zip(at, clients.versions, strict=True):
        assert set(versions[:since]) <= {before, version} and set(versions[since + 1 :]) == {version}
    fleet.wait_for("generation_left", generation=0)
    status = operator.status()
    assert status.model_version == version
    assert {each.model_version for each in processes(status).values()} == {version}
    assert status.costs, "those of the fronts"
    clients.stop()
    assert sum(clients.faults, []) == []
    assert all(set(rungs) <= BY_MODEL for rungs in clients.rungs)

    killed = fleet.children()
    for name in ("engine-1-0", "front-0"):
        os.kill(killed[name], signal.SIGKILL)
    fleet.wait_for("process_restarted", name="engine-0")
    fleet.wait_for("process_restarted", name="front-0")
    see.until(
        lambda: all(each.state == pb.PROCESS_STATE_READY for each in operator.status().processes), "not all are back"
    )
    assert {each.model_version for each in operator.status().processes} == {version}
    fleet.send(signal.SIGUSR1)
    fleet.wait_for("renewed")
    clients = load(fleet.port, num=4, tier=calls_pb.TIER_GENERATIVE)
    clients.wait_for_answers(2)
    clients.stop()
    assert {each for versions in clients.versions for each in versions} == {version}

    where = ["--url", f"127.0.0.1:{fleet.operators_port}", "--token-file", str(tmp_path / "operators")]
    assert main(["admin", *where, "swap"]) == 0, "back to what engine.model names"
    assert json.loads(capsys.readouterr().out)["model_version"] == before
    assert main(["admin", *where, "status"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model_version"] == before
    assert {(each["name"], each["model_version"]) for each in told["processes"] if "LEAVING" not in each["state"]} == {
        ("front-0", before),
        ("front-1", before),
        ("engine-0", before),
    }


def test_swap_that_fails_changes_nothing_and_says_why(operate: Any, load: Any, see: Any, tmp_path: Path) -> None:
    ours = operate(**MODEL)
    (tmp_path / "models" / "broken").mkdir()
    before = ours.operator.status()
    ours.operator.swap_model("broken")
    swap = swapped(ours, see)
    assert (swap.state, swap.model_version) == (pb.SWAP_STATE_FAILED, "")
    assert "engine-0 could not start" in swap.problem and "manifest.json is not there" in swap.problem
    now = ours.operator.status()
    assert now.model_version == before.model_version and now.processes == before.processes
    clients = load(ours.fleet.port, num=2, tier=calls_pb.TIER_GENERATIVE)
    clients.wait_for_answers(1)
    clients.stop()
    assert {each for versions in clients.versions for each in versions} == {before.model_version}
    assert ours.operator.swap_model().number == 2, "the next one may come"
    assert swapped(ours, see).state == pb.SWAP_STATE_SUCCEEDED


def test_model_that_is_gone_fails_a_hangup_and_what_runs_goes_on(operate: Any, see: Any, tmp_path: Path) -> None:
    """Also what is started again: it is of the directory that the link led to when this generation began."""
    shipped = find_model("")
    assert shipped is not None
    link = tmp_path / "current"
    link.symlink_to(shipped)
    ours = operate(**{**MODEL, "ENGINE__MODEL": link})
    before = ours.operator.status().model_version
    link.unlink()
    ours.fleet.send(signal.SIGHUP)
    ours.fleet.wait_for("model_swap_failed")
    swap = ours.operator.status().swap
    assert (swap.number, swap.state) == (1, pb.SWAP_STATE_FAILED) and "is no directory" in swap.problem
    for name in ("engine-0-0", "front-1"):
        os.kill(ours.fleet.children()[name], signal.SIGKILL)
    ours.fleet.wait_for("process_restarted", name="engine-0")
    ours.fleet.wait_for("process_restarted", name="front-1")
    see.until(lambda: ours.operator.status().state == pb.SERVER_STATE_READY, "not ready again")
    assert processes(ours.operator.status())["front-1"].model_version == before
