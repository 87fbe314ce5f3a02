"""Fronts as real processes behind one port: what their callers and their operator see when they come, go and die."""

import os
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc


def files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*")]


def test_starts_answers_drains_and_leaves_nothing_behind(start: Any, see: Any, kit: Any, tmp_path: Path) -> None:
    fleet = start().ready()
    (directory,) = tmp_path.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert see.look(fleet.admin_port, "/readyz") == (200, "ready")
    assert see.look(fleet.admin_port, "/livez") == (200, "alive")
    assert set(fleet.children()) == {"front-0", "front-1"}
    with grpc.insecure_channel(f"127.0.0.1:{fleet.port}") as channel:
        stub: Any = pb_grpc.SummarizationServiceStub(channel)
        assert stub.Summarize(kit.ask(), timeout=20).rung == pb.RUNG_EXTRACTIVE
    assert fleet.stop() == 0
    assert len(fleet.said("stopped", process="front-0")) == len(fleet.said("stopped", process="front-1")) == 1
    fleet.wait_for_orphans()
    assert files(tmp_path) == []


def test_both_fronts_answer_and_their_metrics_are_one_list(start: Any, load: Any, see: Any) -> None:
    fleet = start().ready()
    clients = load(fleet.port, num=16)  # all on one front: once in 32,768 times
    clients.wait_for_answers()
    clients.stop()
    counted = [fleet.sample("qdts_calls_total", process=name, code="OK") for name in ("front-0", "front-1")]
    assert min(counted) > 0
    assert sum(counted) == sum(clients.num_answered)
    assert fleet.sample("qdts_process_up") == 2
    assert fleet.sample("qdts_ready") == 2


def test_killed_front_takes_only_its_own_calls_with_it_and_is_replaced(start: Any, load: Any) -> None:
    fleet = start().ready()
    clients = load(fleet.port, num=16)
    clients.wait_for_answers()
    killed = fleet.children()["front-0"]
    os.kill(killed, signal.SIGKILL)
    event = fleet.wait_for("process_restarted", name="front-0")
    assert fleet.said("process_ended", name="front-0", pid=killed, status=-signal.SIGKILL)
    clients.wait_for_answers()  # each of them: who lost its connection has another
    clients.stop()
    num_faults = [len(faults) for faults in clients.faults]
    assert max(num_faults) <= 1  # the call that was in flight; the next one connects anew
    assert num_faults.count(0) >= 1  # who was with the other front noticed nothing
    assert fleet.children()["front-0"] == event["pid"] != killed
    assert fleet.sample("qdts_process_restarts_total", process="front-0") == 1


@pytest.mark.parametrize("is_short", [False, True])
def test_renewal_replaces_every_front_and_fails_no_call(start: Any, load: Any, see: Any, is_short: bool) -> None:
    fleet = start(TRANSPORT__MAX_CONNECTION_AGE_S=2).ready()
    before = fleet.children()
    clients = load(fleet.port, num=8, is_short=is_short)
    clients.wait_for_answers()
    fleet.send(signal.SIGUSR1)
    fleet.wait_for("renewed")
    for name in before:
        fleet.wait_for("process_left", name=name, status=0)
    clients.wait_for_answers()
    clients.stop()
    assert sum(clients.faults, []) == []
    assert set(fleet.children()) == set(before)
    assert not set(fleet.children().values()) & set(before.values())
    assert fleet.stop() == 0
    assert not fleet.said("process_ended")


def test_stuck_front_is_killed_and_replaced(start: Any, see: Any) -> None:
    fleet = start(LIFECYCLE__MAX_LOOP_STALL_S=1.0).ready()
    stuck = fleet.children()["front-1"]
    os.kill(stuck, signal.SIGSTOP)
    fleet.wait_for("process_stuck", name="front-1", pid=stuck)
    fleet.wait_for("process_restarted", name="front-1")
    assert not see.is_running(stuck)
    assert not fleet.said("process_stuck", name="front-0")


def test_killed_supervisor_leaves_no_process_and_no_file(start: Any, load: Any, tmp_path: Path) -> None:
    fleet = start().ready()
    clients = load(fleet.port, num=2)
    clients.wait_for_answers()
    clients.stop()
    assert len(fleet.children()) == 2
    fleet.send(signal.SIGKILL)
    fleet.wait()
    fleet.wait_for_orphans()
    assert files(tmp_path) == []
    assert fleet.said("supervisor_gone", process="front-0") and fleet.said("stopped", process="front-0")


def test_stop_during_the_start_leaves_nothing_behind(start: Any, see: Any, tmp_path: Path) -> None:
    fleet = start()
    see.until(fleet.children, "no child yet")
    assert fleet.stop() == 0
    fleet.wait_for_orphans()
    assert files(tmp_path) == []
    assert not fleet.said("ready")


def test_what_keeps_a_front_from_its_start_ends_the_server_with_2(start: Any, tmp_path: Path) -> None:
    fleet = start(REDIS__URL="redis://127.0.0.1:1/0", REDIS__SECRET_FILE=tmp_path / "nowhere")
    assert fleet.wait() == 2
    assert fleet.lines[-1].startswith("qdts: front-") and "nowhere" in fleet.lines[-1]
    fleet.wait_for_orphans()
    assert files(tmp_path) == []


@pytest.mark.parametrize("second", [0, 2])
def test_second_server_on_the_port_is_refused(start: Any, second: int) -> None:
    fleet = start(PROCESSES__FRONTS=1).ready()
    other = start(SERVER__PORT=fleet.port, PROCESSES__FRONTS=second)
    assert other.wait() == 2
    assert f"{fleet.port}" in other.lines[-1] and other.lines[-1].startswith("qdts: ")
    assert fleet.process.poll() is None


def test_missing_model_is_refused_before_anything_is_started(start: Any, tmp_path: Path) -> None:
    fleet = start(ENGINE__MODEL="no-such-model")
    assert fleet.wait() == 2
    assert "no-such-model" in fleet.lines[-1]
    assert files(tmp_path) == []


def test_shadow_is_refused(start: Any, tmp_path: Path) -> None:
    fleet = start(SHADOW__MODEL="anything")
    assert fleet.wait() == 2
    assert "shadow.model" in fleet.lines[-1]
    assert files(tmp_path) == []
