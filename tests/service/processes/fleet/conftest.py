"""A server of several processes as its operator and its callers see it: `qdts serve`, signals, channels."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

PATIENCE_S = 60.0  # where time is not the point
# What no process may log, whatever else dies.
FAULTS = {"loop_fault", "thread_died", "call_failed", "item_failed", "rung_failed", "server_died"}


def until(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """What the condition gives once that is true."""
    ends_at = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < ends_at, f"waited in vain: {what}"
        time.sleep(0.02)
    return found


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def look(port: int, path: str) -> tuple[int, str]:
    """What an operators' port says."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode().strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode().strip()


class Fleet:
    """`qdts serve` with fronts, from its making to close()."""

    def __init__(self, program: list[str], settings: dict[str, object], env: dict[str, str]) -> None:
        defaults = {
            "SERVER__PORT": 0,
            "SERVER__DRAIN_DELAY_S": 0.1,
            "METRICS__PORT": 0,
            "ENGINE__MODEL": "none",
            "PROCESSES__FRONTS": 2,
            "LIFECYCLE__RESTART_FIRST_S": 0.1,
        }
        told = {f"QDTS_{name}": str(value) for name, value in (defaults | settings).items()}
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.process = subprocess.Popen(program, env=os.environ | env | told, stderr=subprocess.PIPE, text=True)
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        self._known: set[int] = set()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("{"):
                self.events.append(json.loads(line))

    def said(self, event: str, *, process: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """The events of that name by that process, the supervisor where none is named."""
        expected = fields | {"event": event}
        return [
            line
            for line in list(self.events)
            if line.get("process") == process and all(line.get(key) == value for key, value in expected.items())
        ]

    def wait_for(self, event: str, *, times: int = 1, process: str | None = None, **fields: object) -> dict[str, Any]:
        """The last of so many such events."""

        def enough() -> bool:
            return len(self.said(event, process=process, **fields)) >= times

        until(lambda: enough() or self.has_ended, f"{event} {fields}")
        assert enough(), f"ended without {event}: {''.join(self.lines[-20:])}"
        return self.said(event, process=process, **fields)[times - 1]

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None and not self._reading.is_alive()

    def ready(self) -> "Fleet":
        """Wait for it."""
        event = self.wait_for("ready")
        self.port, self.admin_port = event["port"], event["admin_port"]
        self.operators_port: int | None = event["operators_port"]
        self.children()
        return self

    def children(self) -> dict[str, int]:
        """Process ids by name: front-0, or engine-0-0 for generation and index."""
        found: dict[str, int] = {}
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{self.process.pid}/task").iterdir():
                for pid in map(int, (task / "children").read_text().split()):
                    with contextlib.suppress(OSError):
                        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                        found[_name(words)] = pid
        self._known |= set(found.values())
        return found

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status."""
        status = self.process.wait(PATIENCE_S)
        self._reading.join(PATIENCE_S)
        return status

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.send(signal.SIGTERM)
        return self.wait()

    def wait_for_orphans(self) -> None:
        """Until no child that was ever seen is left."""
        until(lambda: not any(is_running(pid) for pid in self._known), "children are left")

    def close(self) -> None:
        self.children()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self._known:
            if is_running(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._reading.join(PATIENCE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def sample(self, name: str, **labels: str) -> float:
        """The sum of the samples on /metrics with such labels."""
        _, text = look(self.admin_port, "/metrics")
        lines = [line for line in text.splitlines() if line.startswith(name + "{")]
        parts = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(part in line for part in parts))


def _name(words: list[str]) -> str:
    if any(word.endswith("front_process") for word in words):
        return words[-2]
    with contextlib.suppress(ValueError):
        return f"engine-{words[words.index('--generation') + 1]}-{words[words.index('--index') + 1]}"
    return "starting"


class Clients:
    """Each with a connection of its own, or with a new one for each call; no call is asked twice."""

    def __init__(
        self, port: int, *, num: int = 6, is_short: bool = False, tier: Any = 0, timeout_s: float = 30
    ) -> None:
        self.faults: list[list[str]] = [[] for _ in range(num)]
        self.num_answered = [0] * num
        self.rungs: list[list[int]] = [[] for _ in range(num)]
        self.versions: list[list[str]] = [[] for _ in range(num)]
        self._port, self._is_short, self._timeout_s = port, is_short, timeout_s
        self._options = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS, tier=tier)
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(num)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        while not self._end.is_set():
            # Without a pool of its own, channels to one address share one connection. There is no retry policy: gRPC
            # sends again only what a server has not begun, a stream that met its GOAWAY.
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(f"127.0.0.1:{self._port}", options=options) as channel:
                stub: Any = pb_grpc.SummarizationServiceStub(channel)
                self._call(number, stub)
                while not self._is_short and not self._end.is_set():
                    self._call(number, stub)

    def _call(self, number: int, stub: Any) -> None:
        text = f"Client {number} sends call {self.num_answered[number]}. More is not said."
        request = pb.SummarizeRequest(query="Which call?", document=pb.Document(text=text), options=self._options)
        try:
            reply = stub.Summarize(request, timeout=self._timeout_s)
            assert reply.summary
            self.rungs[number].append(reply.rung)
            self.versions[number].append(reply.model_version)
            self.num_answered[number] += 1
        except grpc.RpcError as error:
            self.faults[number].append(f"{error}")
        time.sleep(0.002)

    def wait_for_answers(self, num_each: int = 5) -> None:
        """So many more for each of them."""
        before = [*self.num_answered]
        until(
            lambda: all(now >= then + num_each for now, then in zip(self.num_answered, before, strict=True)),
            "clients are not answered",
        )

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)


@pytest.fixture(name="start")
def _start(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Starts servers whose temporary files lie in tmp_path."""
    fleets: list[Fleet] = []

    def start(*, program: list[str] | None = None, **settings: object) -> Fleet:
        command = program or [sys.executable, "-P", "-m", "qdts.service.cli", "serve"]
        fleets.append(Fleet(command, settings, {"TMPDIR": str(tmp_path)}))
        return fleets[-1]

    yield start
    for fleet in fleets:
        fleet.close()
    faults = [line for fleet in fleets for line in fleet.events if line["event"] in FAULTS]
    assert not faults


@pytest.fixture(name="load")
def _load() -> Iterator[Callable[..., Clients]]:
    """Clients that ask until they are stopped, at the latest at the end."""
    all_clients: list[Clients] = []

    def load(port: int, **options: Any) -> Clients:
        all_clients.append(Clients(port, **options))
        return all_clients[-1]

    yield load
    for clients in all_clients:
        clients.stop()


@pytest.fixture(name="see")
def _see() -> SimpleNamespace:
    return SimpleNamespace(until=until, is_running=is_running, look=look)
