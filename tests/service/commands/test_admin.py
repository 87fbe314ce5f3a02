"""`qdts admin` against a real server: what it says, what it does, how it fails."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdts.service.admin_config import AdminConfig
from qdts.service.cli import main
from qdts.service.client.operator import Operator
from qdts.service.health import State
from qdts.v1 import admin_pb2 as pb

TOKEN = "operators-token-0123456789"


class Server:
    """An application in a loop and a thread of its own, as long as it runs; `qdts` runs in the test's."""

    def __init__(self, kit: Any, config: Any, load: Callable[[Any], Any]) -> None:
        self._kit, self._config, self._load = kit, config, load
        self._is_up = threading.Event()
        self.exit_status: int | None = None
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.thread.start()
        assert self._is_up.wait(30)

    async def _serve(self) -> None:
        self.application = self._kit.Application(self._config, load=self._load)
        await self.application.start()
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        self._is_up.set()
        self.exit_status = await self.application.run_until(self._stop)
        await self.application.stop()

    def close(self) -> None:
        if self.thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(30)


@pytest.fixture(name="admin")
def _admin(kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """admin(*arguments): the exit status of `qdts admin`, of a server whose model "bad" fails its warm-up."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"\n{TOKEN}\n")
    for name in ("new", "bad"):
        (tmp_path / name).mkdir()
    config = kit.config(admin=AdminConfig(port=0, token_file=str(tokens), models_dir=str(tmp_path)))

    def load(asked: Any) -> Any:
        name = Path(asked.model).name
        return kit.Model(version=f"{name or 'old'}@1", invents=name == "bad")

    server = Server(kit, config, load)
    monkeypatch.setenv("QDTS_ADMIN__PORT", str(server.application.operators_port))
    monkeypatch.setenv("QDTS_ADMIN__TOKEN_FILE", str(tokens))

    def admin(*arguments: str) -> int:
        try:
            return main(["admin", *arguments])
        except SystemExit as exit:
            return int(exit.code or 0)

    admin.server = server  # type: ignore[attr-defined]
    yield admin
    server.close()


def test_status_is_json(admin: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin("status") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["state"], status["model_version"]) == ("SERVER_STATE_READY", "old@1")
    assert status["classes"][0]["num_waiting"] == 0, "what is 0 is said, too"


def test_swap_waits_for_its_end_and_tells_it(admin: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin("swap", "--model", "new") == 0
    assert json.loads(capsys.readouterr().out)["model_version"] == "new@1"
    assert admin("swap", "--model", "bad") == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["state"] == "SWAP_STATE_FAILED"
    assert "the swap failed: the model failed its warm-up" in said.err


def test_swap_that_succeeded_and_left_something_undone_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a server of several processes does where a front is late."""
    running = pb.ModelSwap(number=1, state=pb.SWAP_STATE_RUNNING)
    ended = pb.ModelSwap(number=1, state=pb.SWAP_STATE_SUCCEEDED, problem="not gone over: front-1")
    monkeypatch.setattr(Operator, "swap_model", lambda server, model: running)
    monkeypatch.setattr(Operator, "status", lambda server: pb.GetStatusResponse(swap=ended))
    assert main(["admin", "--url", "127.0.0.1:1", "swap"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["state"] == "SWAP_STATE_SUCCEEDED"
    assert said.err == "qdts: not gone over: front-1\n"


def test_swap_may_be_left_to_itself(admin: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin("swap", "--no-wait") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "SWAP_STATE_RUNNING"


def test_drain_ends_the_server(admin: Any) -> None:
    assert admin("drain") == 0
    admin.server.thread.join(30)
    assert admin.server.exit_status == 0
    assert admin.server.application.health.state is State.CLOSED


def test_log_level(admin: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin("log-level", "error") == 0
    assert capsys.readouterr().out == "log level was debug\n"
    assert admin("log-level", "loud") == 2


@pytest.mark.parametrize("action", ["promote", "stop-canary"])
def test_what_does_not_go_is_said(admin: Any, capsys: pytest.CaptureFixture[str], action: str) -> None:
    assert admin(action) == 1
    assert "canary" in capsys.readouterr().err


def test_wrong_token_is_refused(admin: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("another-token-0123456789")
    assert admin("--token-file", str(wrong), "status") == 1
    said = capsys.readouterr().err.splitlines()
    assert "qdts: a valid bearer token is needed" in said
    assert TOKEN not in "".join(said) and "another-token" not in "".join(said)


def test_mistakes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, token = tmp_path / "empty", tmp_path / "token"
    empty.write_text("")
    token.write_text(TOKEN)
    for arguments, status, says in (
        (["status"], 2, "--url: needed"),
        (["--url", "127.0.0.1:1", "--token-file", str(empty), "status"], 2, "holds no token"),
        (["--url", "ops.internal:1", "--token-file", str(token), "status"], 2, "in the clear"),
        (["--url", "127.0.0.1:1", "--token-file", str(tmp_path / "none"), "status"], 1, "none"),
        (["--url", "127.0.0.1:1", "--timeout", "0.3", "status"], 1, ""),
    ):
        assert main(["admin", *arguments]) == status
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("url", ["localhost:1", "127.0.0.1:1", "[::1]:1"])
def test_to_this_machine_a_token_may_go_in_the_clear(url: str) -> None:
    with Operator(url, token=TOKEN):
        pass
