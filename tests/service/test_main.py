"""The server as a process: starts fast, without torch, drains on a signal, refuses what it cannot load."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from qdts.errors import WeightsError, WeightsMissing
from qdts.service.config import EngineConfig
from qdts.service.health import State
from qdts.service.loading import load_model
from qdts.service.main import start_until
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

PROGRAM = """
import os, sys
from qdts.service.config import load_config
from qdts.service.main import run
code = run(load_config(None, os.environ))
assert "torch" not in sys.modules, "torch was imported"
sys.exit(code)
"""


def start(**settings: object) -> subprocess.Popen[str]:
    defaults = {"SERVER__PORT": 0, "SERVER__DRAIN_DELAY_S": 0, "METRICS__PORT": 0, "ENGINE__MODEL": "none"}
    env = {f"QDTS_{name}": str(value) for name, value in (defaults | settings).items()}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], env=os.environ | env, stderr=subprocess.PIPE, text=True)


def wait_until_ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{") and json.loads(line)["event"] == "ready":
            return json.loads(line)
    raise AssertionError("ended before it was ready")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_starts_answers_drains_and_exits_with_0(kit: Any, number: int) -> None:
    started_at = time.monotonic()
    with start() as process:
        ready = wait_until_ready(process)
        took_s = time.monotonic() - started_at
        with grpc.insecure_channel(f"127.0.0.1:{ready['port']}") as channel:
            stub: Any = pb_grpc.SummarizationServiceStub(channel)
            reply = stub.Summarize(kit.ask(), timeout=10)
        assert reply.rung == pb.RUNG_EXTRACTIVE
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "torch was imported" not in err
    assert took_s < 15  # the bar is 3 s on an idle machine; loadtest/ measures it


@pytest.mark.parametrize("model", ["/nowhere/at/all", "no-such-model"])
def test_model_that_is_not_there_is_a_clear_refusal(model: str) -> None:
    with start(ENGINE__MODEL=model) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    message = err.splitlines()[-1]
    assert message.startswith("qdts: ") and model in message
    assert "Traceback" not in err


def test_directory_that_is_no_model_is_a_clear_refusal(tmp_path: Path) -> None:
    with start(ENGINE__MODEL=tmp_path) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert str(tmp_path) in err.splitlines()[-1]
    assert "Traceback" not in err


def test_failed_start_is_logged_with_its_reason() -> None:
    with start(ENGINE__MODEL="no-such-model") as process:
        _, err = process.communicate(timeout=30)
    events = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert events[-1]["event"] == "start_failed"
    assert "no-such-model" in events[-1]["reason"]


@pytest.mark.parametrize(
    ("fault", "reason", "event"),
    [
        ({"start_error": RuntimeError("x")}, "engine_failed", "generation_failed"),
        ({"invents": True}, "guard_rejected", "guard_rejected"),
    ],
)
async def test_model_that_fails_its_warm_up_is_refused_and_the_log_says_where(
    kit: Any, capfd: pytest.CaptureFixture[str], fault: dict[str, Any], reason: str, event: str
) -> None:
    application = kit.Application(kit.config(), load=lambda config: kit.Model(**fault))
    with pytest.raises(WeightsError, match=reason):
        await application.start()
    await application.stop()
    assert f'"event": "{event}"' in capfd.readouterr().err


async def test_text_work_that_fails_its_warm_up_is_refused_and_the_log_says_where(
    kit: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a blank document says nothing")

    monkeypatch.setattr(kit.Model, "prepare", fail)
    application = kit.Application(kit.config(), load=lambda config: kit.Model())
    with pytest.raises(WeightsError, match="engine_failed"):
        await application.start()
    await application.stop()
    (line,) = [line for line in capfd.readouterr().err.splitlines() if '"rung_failed"' in line]
    assert "AssertionError" in line and "test_main.py" in line and "blank" not in line


async def test_stop_does_not_wait_for_the_end_of_a_slow_warm_up(kit: Any) -> None:
    model = kit.Model()
    model.gate.clear()
    application = kit.Application(kit.config(), load=lambda config: model)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    async with asyncio.timeout(5):
        await start_until(application, stop)
        model.gate.set()
        await application.stop()
    assert application.health.state is State.CLOSED


async def test_server_that_ends_by_itself_is_no_good_exit(kit: Any) -> None:
    application = kit.Application(kit.config(), load=lambda config: kit.Model())
    await application.start()
    running = asyncio.ensure_future(application.run_until(asyncio.Event()))
    await asyncio.sleep(0.05)
    assert not running.done()
    await application._server._server.stop(None)  # as grpc.aio does when its loop has failed
    assert await running == 1
    await application.stop()


def test_hangup_loads_the_model_anew_and_ends_nothing(kit: Any) -> None:
    with start() as process:
        ready = wait_until_ready(process)
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        assert any('"event": "model_swapped"' in line for line in process.stderr)
        with grpc.insecure_channel(f"127.0.0.1:{ready['port']}") as channel:
            stub: Any = pb_grpc.SummarizationServiceStub(channel)
            assert stub.Summarize(kit.ask(), timeout=10).summary
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_no_model_is_asked_for_and_none_is_loaded() -> None:
    assert load_model(EngineConfig(model="none")) is None


def test_missing_model_names_what_was_looked_for() -> None:
    with pytest.raises(WeightsMissing, match="no-such-model"):
        load_model(EngineConfig(model="no-such-model"))
