"""One JSON object per line, never a text."""

import asyncio
import json
import sys
import threading
from typing import Any

import pytest

from qdts.service import logs


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_lines_are_json(capfd: pytest.CaptureFixture[str]) -> None:
    logs.info("started", port=1)
    with logs.with_request("r-1"):
        logs.warning("odd")
    first, second = (json.loads(line) for line in capfd.readouterr().err.splitlines())
    assert (first["event"], first["port"], first["level"]) == ("started", 1, "info")
    assert (second["event"], second["request_id"], second["level"]) == ("odd", "r-1", "warning")


def test_level_is_a_floor(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("error")
    logs.info("quiet")
    assert capfd.readouterr().err == ""


def test_faults_show_type_and_frames_but_no_message(capfd: pytest.CaptureFixture[str]) -> None:
    secret = "the user's own words"
    logs.fault("failed", raised(ValueError(secret)))
    line = json.loads(capfd.readouterr().err)
    assert line["error"] == "ValueError"
    assert "test_logs.py" in line["frames"][-1] and line["frames"][-1].endswith(" raised")
    assert secret not in json.dumps(line)


def test_thread_that_dies_tells_no_text(capfd: pytest.CaptureFixture[str]) -> None:
    def die() -> None:
        raise ValueError("the user's own words")

    thread = threading.Thread(target=die, name="worker")
    thread.start()
    thread.join()
    line = json.loads(capfd.readouterr().err)
    assert (line["event"], line["thread"], line["error"]) == ("thread_died", "worker", "ValueError")
    assert "own words" not in json.dumps(line)


async def test_callback_that_fails_tells_no_text(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError("the user's own words")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.loop_fault)
    loop.call_soon(fail)
    loop.call_exception_handler({"message": "odd"})
    await asyncio.sleep(0.01)
    first, second = (json.loads(line) for line in capfd.readouterr().err.splitlines())
    assert (first["event"], first["message"]) == ("loop_fault", "odd")
    assert (second["event"], second["error"]) == ("loop_fault", "ValueError")
    assert "own words" not in json.dumps(second)


def test_a_log_that_cannot_be_written_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def write(self, text: str) -> Any:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Broken())
    logs.info("nobody listens")
