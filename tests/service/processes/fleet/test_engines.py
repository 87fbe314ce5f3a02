"""Engines as real processes with the model that ships: what callers see when one dies, is stuck, or is replaced."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from qdts.v1 import summarization_pb2 as pb

MODEL = {"ENGINE__MODEL": "", "ENGINE__MAX_BATCH": 4, "ENGINE__NUM_THREADS": 1}
BY_MODEL = {pb.RUNG_FULL, pb.RUNG_SHORTER, pb.RUNG_PASSAGES}


def generative(load: Any, fleet: Any, num: int = 4) -> Any:
    return load(fleet.port, num=num, tier=pb.TIER_GENERATIVE)


def last(clients: Any) -> set[int]:
    """The rungs that answered each client last."""
    return {rungs[-1] for rungs in clients.rungs if rungs}


def test_killed_engine_fails_no_call_and_is_replaced(start: Any, load: Any, see: Any) -> None:
    fleet = start(**MODEL).ready()
    clients = generative(load, fleet)
    see.until(lambda: all(clients.num_answered) and last(clients) <= BY_MODEL, "the model does not answer")
    killed = fleet.children()["engine-0-0"]
    os.kill(killed, signal.SIGKILL)
    see.until(lambda: pb.RUNG_EXTRACTIVE in last(clients), "replies are not degraded")
    fleet.wait_for("process_restarted", name="engine-0")
    fleet.wait_for("engine_restarted", process="front-0")
    fleet.wait_for("engine_restarted", process="front-1")
    clients.wait_for_answers(2)
    see.until(lambda: last(clients) == {pb.RUNG_FULL}, "replies are not full again")
    clients.stop()
    assert sum(clients.faults, []) == []
    assert fleet.children()["engine-0-0"] != killed
    see.until(lambda: see.look(fleet.admin_port, "/readyz") == (200, "ready"), "not ready again")
    assert fleet.stop() == 0


def test_one_of_two_engines_dies_and_the_other_goes_on(start: Any, load: Any, see: Any) -> None:
    fleet = start(PROCESSES__ENGINES=2, PROCESSES__FRONTS=1, **MODEL).ready()
    clients = generative(load, fleet)
    clients.wait_for_answers(2)
    os.kill(fleet.children()["engine-0-1"], signal.SIGKILL)
    fleet.wait_for("engine_lost", process="front-0")
    assert see.look(fleet.admin_port, "/readyz") == (200, "ready")
    fleet.wait_for("engine_found", process="front-0")
    clients.wait_for_answers(2)
    clients.stop()
    assert sum(clients.faults, []) == []
    assert not fleet.said("engine_down", process="front-0")


def test_hangup_under_load_changes_engines_and_fails_no_call(start: Any, load: Any, see: Any) -> None:
    fleet = start(**MODEL).ready()
    clients = generative(load, fleet)
    clients.wait_for_answers(2)
    fleet.send(signal.SIGHUP)
    fleet.wait_for("model_swapped", generation=1)
    for front in ("front-0", "front-1"):
        fleet.wait_for("model_swapped", process=front)
    fleet.wait_for("generation_left", generation=0)
    clients.wait_for_answers(2)
    clients.stop()
    assert sum(clients.faults, []) == []
    assert all(set(rungs) <= BY_MODEL for rungs in clients.rungs)  # at no moment was there no engine
    assert "engine-1-0" in fleet.children() and "engine-0-0" not in fleet.children()
    assert not fleet.said("process_ended") and not fleet.said("engine_down", process="front-0")


def test_model_that_cannot_be_loaded_changes_nothing(start: Any, load: Any, see: Any, tmp_path: Path) -> None:
    from qdts.models.shipped import find_model

    shipped = find_model("")
    assert shipped is not None
    models = tmp_path / "models"
    models.mkdir()
    link = models / "current"
    link.symlink_to(shipped)
    fleet = start(**{**MODEL, "ENGINE__MODEL": link}).ready()
    (models / "broken").mkdir()
    (models / "next").symlink_to(models / "broken")
    (models / "next").rename(link)
    fleet.send(signal.SIGHUP)
    event = fleet.wait_for("model_swap_failed")
    assert "engine-0" in event["reason"]
    clients = generative(load, fleet, 2)
    clients.wait_for_answers(1)
    clients.stop()
    assert all(set(rungs) <= BY_MODEL for rungs in clients.rungs)
    assert set(fleet.children()) == {"front-0", "front-1", "engine-0-0"}


def test_stuck_engine_is_killed_and_replaced(start: Any, see: Any) -> None:
    fleet = start(LIFECYCLE__MAX_LOOP_STALL_S=1.0, **MODEL).ready()
    stuck = fleet.children()["engine-0-0"]
    os.kill(stuck, signal.SIGSTOP)
    fleet.wait_for("process_stuck", name="engine-0", pid=stuck)
    fleet.wait_for("process_restarted", name="engine-0")
    assert not see.is_running(stuck)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(start: Any, load: Any, tmp_path: Path, number: int) -> None:
    fleet = start(**MODEL).ready()
    clients = generative(load, fleet, 2)
    clients.wait_for_answers(1)
    clients.stop()
    assert set(fleet.children()) == {"front-0", "front-1", "engine-0-0"}
    fleet.send(number)
    assert fleet.wait() == (0 if number == signal.SIGTERM else -number)
    fleet.wait_for_orphans()
    assert [*tmp_path.glob("qdts-*")] == []
