"""A Redis of the run's own, and the ways to break it while the load runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdts.errors import ConfigError
from qdts.loadtest.redis_server import RedisServer, find_redis_server
from qdts.loadtest.scenarios.config import Fault
from qdts.service.config import Value


class Redis(RedisServer):
    """A redis-server with the secret that a scenario's settings name."""

    def start(self) -> None:
        """As the server's; the secret lies beside it."""
        super().start()
        self._secret_file.write_text("what all processes that share the cache know", encoding="utf-8")

    def fill_in(self, value: Value) -> Value:
        """A setting of a scenario with what only this Redis knows."""
        return {"REDIS_URL": self.url, "SECRET_FILE": str(self._secret_file)}.get(str(value), value)

    def break_it(self, kind: str) -> None:
        """Begin the fault."""
        (self.kill if kind == "redis-killed" else self.stop)()

    def mend_it(self, kind: str) -> None:
        """End the fault."""
        (self.start if kind == "redis-killed" else self.go_on)()

    @property
    def _secret_file(self) -> Path:
        return Path(self._directory.name) / "secret"


@contextmanager
def redis_running() -> Iterator[Redis]:
    """A Redis until the end of the block; ConfigError where redis-server is not installed."""
    if find_redis_server() is None:
        raise ConfigError("redis-server is not installed")
    with Redis() as redis:
        yield redis


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
