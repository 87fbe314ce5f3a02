"""The Redis that breaks and comes back, asked by a real client."""

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from qdts.loadtest.redis_server import find_redis_server
from qdts.loadtest.scenarios.config import Fault
from qdts.loadtest.scenarios.faults import Redis, breaking, redis_running

pytestmark = pytest.mark.skipif(
    find_redis_server() is None and not os.environ.get("QDTS_REQUIRE_REDIS"), reason="redis-server is not on PATH"
)


def is_up(url: str) -> bool:
    client: Any = redis.Redis.from_url(url, socket_timeout=0.2, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0))
    try:
        return client.ping()
    except redis.RedisError:
        return False
    finally:
        client.close()


def wait(condition: Callable[[], bool], timeout_s: float = 10) -> bool:
    ends_at = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < ends_at:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("kind", ["redis-killed", "redis-stopped"])
def test_it_is_gone_for_a_while_and_comes_back(kind: Any) -> None:
    with redis_running() as broken:
        assert wait(lambda: is_up(broken.url))
        with breaking(broken, Fault(kind=kind, at_s=0.1, for_s=1.0)):
            assert wait(lambda: not is_up(broken.url))
            assert wait(lambda: is_up(broken.url))
    assert not is_up(broken.url)


def test_settings_get_what_only_this_redis_knows() -> None:
    with redis_running() as running:
        assert running.fill_in("REDIS_URL") == f"redis://127.0.0.1:{running.port}/0"
        assert running.fill_in(5) == 5
        with open(str(running.fill_in("SECRET_FILE")), encoding="utf-8") as secret:
            assert len(secret.read()) >= 32


def test_without_a_redis_nothing_breaks() -> None:
    without: Redis | None = None
    with breaking(without, Fault(kind="redis-killed", at_s=0, for_s=1)):
        pass
