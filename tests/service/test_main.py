"""The server as a process: starts fast, without torch, drains on a signal, refuses what it cannot load."""

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

from qdts.errors import WeightsMissing
from qdts.service.config import EngineConfig
from qdts.service.main import load_model
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
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=os.environ | env, stderr=subprocess.PIPE, text=True
    )


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


def test_no_model_is_asked_for_and_none_is_loaded() -> None:
    assert load_model(EngineConfig(model="none")) is None


def test_missing_model_names_what_was_looked_for() -> None:
    with pytest.raises(WeightsMissing, match="no-such-model"):
        load_model(EngineConfig(model="no-such-model"))
