"""A Redis of the run's own, and the ways to break it while the load runs."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdts.errors import ConfigError
from qdts.loadtest.bench_startup import free_port
from qdts.loadtest.scenarios.config import Fault
from qdts.service.config import Value

REDIS = "redis-server"
UP_S = 5.0


class Redis:
    """A redis-server on a free port, without persistence."""

    def __init__(self, directory: str) -> None:
        self.port = free_port()
        self._command = [REDIS, "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", directory]
        self._process = self._start()
        self._secret_file = Path(directory) / "secret"
        self._secret_file.write_text("what all processes that share the cache know", encoding="utf-8")

    @property
    def url(self) -> str:
        """As settings name it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def fill_in(self, value: Value) -> Value:
        """A setting of a scenario with what only this Redis knows."""
        return {"REDIS_URL": self.url, "SECRET_FILE": str(self._secret_file)}.get(str(value), value)

    def break_it(self, kind: str) -> None:
        """Begin the fault."""
        if kind == "redis-killed":
            self._process.kill()
            self._process.wait()
        else:
            os.kill(self._process.pid, signal.SIGSTOP)

    def mend_it(self, kind: str) -> None:
        """End the fault."""
        if kind == "redis-killed":
            self._process = self._start()
        else:
            os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Whatever state it is in."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        time.sleep(0.2)
        return process


@contextmanager
def redis_running() -> Iterator[Redis]:
    """A Redis until the end of the block; ConfigError where redis-server is not installed."""
    if shutil.which(REDIS) is None:
        raise ConfigError(f"{REDIS} is not installed")
    with tempfile.TemporaryDirectory() as directory:
        redis = Redis(directory)
        try:
            yield redis
        finally:
            redis.end()


@contextmanager
def breaking(redis: Redis | None, fault: Fault | None) -> Iterator[None]:
    """Within the block the fault begins and ends at its times, counted from entry."""
    if redis is None or fault is None:
        yield
        return
    timers = [
        threading.Timer(fault.at_s, redis.break_it, [fault.kind]),
        threading.Timer(fault.at_s + fault.for_s, redis.mend_it, [fault.kind]),
    ]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()
