"""What we ask of redis-py, typed, and how its connections are made.

RESP2: nothing here is shorter or clearer in RESP3, which costs a HELLO per connection and, from redis-py 7 on,
a subscription to maintenance notices. Retries are off: with its defaults redis-py 8 takes 3.9 s to say that Redis is
down (docs/operations.md).
"""

import ssl
from typing import Any, Protocol, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from qdts.service.redis.config import RedisConfig

# A call goes on so long after its caller has left: its connection is good again when the answer comes, however late.
SOCKET_TIMEOUT_S = 1.0


class Pipeline(Protocol):
    """Commands sent together; each by itself, so that they need not lie in one slot of a cluster."""

    def set(self, name: str, value: bytes, *, px: int, nx: bool) -> object: ...

    def get(self, name: str) -> object: ...

    async def execute(self) -> list[object]: ...

    async def reset(self) -> None: ...


class Commands(Protocol):
    """The client of redis-py, as far as it is used."""

    async def get(self, name: str) -> object: ...

    async def set(self, name: str, value: bytes, *, px: int) -> object: ...

    async def eval(self, script: str, numkeys: int, *keys_and_args: str | bytes) -> object: ...

    async def ping(self) -> object: ...

    def pipeline(self, transaction: bool) -> Pipeline: ...

    async def aclose(self) -> None: ...


def connect(config: RedisConfig) -> Commands:
    """A client with a pool of its own. Opens nothing yet."""
    options: dict[str, Any] = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": config.max_connections,
        "socket_timeout": SOCKET_TIMEOUT_S,
    }
    if not config.url.startswith("unix://"):
        options["socket_connect_timeout"] = config.connect_ms / 1000
    if password := config.read_password():
        options |= {"username": config.username or None, "password": password}
    if config.uses_tls:
        options |= _tls(config)
    pool = cast("Any", ConnectionPool).from_url(config.url, **options)
    return cast("Commands", cast("Any", Redis).from_pool(pool))


def _tls(config: RedisConfig) -> dict[str, Any]:
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        "ssl_ca_certs": config.ca_file or None,
        "ssl_certfile": config.cert_file or None,
        "ssl_keyfile": config.key_file or None,
    }
