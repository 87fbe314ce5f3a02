"""Two servers of the simulated model, as processes with ports of their own; one after the other is restarted."""

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from qdts.errors import Unavailable
from qdts.loadtest.bench_startup import free_port, wait_ready
from qdts.loadtest.simulation.costs import PACED
from qdts.service.client import Client

READY_S = 120.0
STOP_S = 60.0
# From one's being ready to the other's stop. Balanced clients look for a server that went away again after up to a
# second (client.channel_options): who stops the other one sooner leaves them without any.
SETTLE_S = 2.0
SERVER = "qdts.loadtest.simulation.server"
SETTINGS = ("metrics.enabled=false", "logging.level=error", "engine.max_batch=8", "server.drain_delay_s=1")


class Pair:
    """From entry to exit. What a restart raised is raised by has_restarted()."""

    def __init__(self, settle_s: float = SETTLE_S) -> None:
        self._settle_s = settle_s
        self._ports = (free_port(), free_port())
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._directory = tempfile.TemporaryDirectory(prefix="qdts-")
        self._restarting: threading.Thread | None = None
        self._problem: Unavailable | None = None

    @property
    def url(self) -> str:
        """Of both."""
        return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self._ports)

    @property
    def pids(self) -> list[int]:
        """Of those that run."""
        return [process.pid for process in self._processes.values()]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self._stop_all)
            for port in self._ports:
                self._start(port)
            for port in self._ports:
                self._wait_ready(port)
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._restarting is not None:
            self._restarting.join()
        self._stop_all()

    def restart_each(self) -> None:
        """One after the other: told to stop, gone, started, ready, found by its clients. In the background."""
        self._restarting = threading.Thread(target=self._restart_each, daemon=True)
        self._restarting.start()

    def has_restarted(self) -> bool:
        """Whether both have."""
        if self._problem is not None:
            raise self._problem
        return self._restarting is not None and not self._restarting.is_alive()

    def _restart_each(self) -> None:
        try:
            for port in self._ports:
                self._stop(port)
                self._start(port)
                self._wait_ready(port)
                time.sleep(self._settle_s)
        except Unavailable as error:
            self._problem = error

    def _start(self, port: int) -> None:
        costs = Path(self._directory.name) / "costs.toml"
        costs.write_text("".join(f"{name} = {getattr(PACED, name)}\n" for name in PACED.__slots__), encoding="utf-8")
        settings = [part for setting in SETTINGS for part in ("--set", setting)]
        command = [sys.executable, "-P", "-m", SERVER, "--port", str(port), "--costs", str(costs), *settings]
        self._processes[port] = subprocess.Popen(command)

    def _wait_ready(self, port: int) -> None:
        try:
            with Client(f"127.0.0.1:{port}") as client:
                wait_ready(client, time.monotonic() + READY_S)
        except TimeoutError as error:
            raise Unavailable(f"a server was not ready within {READY_S:g} s") from error

    def _stop(self, port: int) -> None:
        process = self._processes[port]
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Unavailable(f"a server did not drain within {STOP_S:g} s") from None

    def _stop_all(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()
            process.wait()
        self._directory.cleanup()
