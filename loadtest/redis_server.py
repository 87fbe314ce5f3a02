"""A real redis-server on a port of its own, and the faults that only its process or its settings can have."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from qdts.loadtest.bench_startup import free_port

START_TIMEOUT_S = 10.0


def find_redis_server() -> str | None:
    """The program, if it is on PATH."""
    return shutil.which("redis-server")


class RedisServer:
    """A process within a `with` block. Keeps nothing on disk."""

    def __init__(self, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = tempfile.TemporaryDirectory()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._directory.cleanup()

    def start(self) -> None:
        """Start it, empty, and wait until it listens."""
        program = find_redis_server()
        assert program is not None, "redis-server is not on PATH"
        base = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._directory.name]
        log = Path(self._directory.name) / "log"
        self._process = subprocess.Popen([program, *base, *self._options, "--logfile", str(log)])
        ends_at = time.monotonic() + START_TIMEOUT_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > ends_at:
                said = log.read_text() if log.exists() else ""
                self.kill()
                self._directory.cleanup()  # no block will be left that does it
                raise RuntimeError(f"redis-server does not start:\n{said}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGSTOP: it accepts connections and never answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def configure(self, setting: str, value: str) -> None:
        """CONFIG SET."""
        self._told("CONFIG", "SET", setting, value)

    def follow(self, host: str, port: str) -> None:
        """REPLICAOF: read-only from then on; of NO, ONE: no more."""
        self._told("REPLICAOF", host, port)

    def _told(self, *words: str) -> None:
        answer = self.command(*words)
        assert answer.startswith(b"+OK"), answer

    def command(self, *words: str) -> bytes:
        """The first bytes of its answer to a command."""
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"*{len(parts)}\r\n{''.join(parts)}".encode())
            return connection.recv(1 << 20)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
