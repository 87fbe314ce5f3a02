"""The ways in which Redis breaks, and how each is mended."""

from collections.abc import Callable

from qdts.loadtest.fault_proxy import Fault, FaultProxy
from qdts.loadtest.redis_server import RedisServer

Break = Callable[[RedisServer, FaultProxy], None]


def _restart(redis: RedisServer, proxy: FaultProxy) -> None:
    del proxy
    redis.kill()
    redis.start()


def _mend(redis: RedisServer, proxy: FaultProxy) -> None:
    del redis
    proxy.fault = Fault.NONE


def _through_proxy(fault: Fault) -> tuple[Break, Break]:
    def inject(redis: RedisServer, proxy: FaultProxy) -> None:
        del redis
        proxy.fault = fault

    return inject, _mend


# How to break it, and how to mend it. Some of it takes a while: not for an event loop.
FAULTS: dict[str, tuple[Break, Break]] = {
    "none": _through_proxy(Fault.NONE),
    "killed": (lambda redis, proxy: redis.kill(), lambda redis, proxy: redis.start()),
    "restarted": (_restart, _mend),
    "stopped": (lambda redis, proxy: redis.stop(), lambda redis, proxy: redis.go_on()),
    "out_of_memory": (
        lambda redis, proxy: redis.configure("maxmemory", "1"),
        lambda redis, proxy: redis.configure("maxmemory", "0"),
    ),
    "read_only": (
        lambda redis, proxy: redis.follow("127.0.0.1", "1"),
        lambda redis, proxy: redis.follow("NO", "ONE"),
    ),
    "slow": _through_proxy(Fault.SLOW),
    "reset": _through_proxy(Fault.RESET),
    "garbage": _through_proxy(Fault.GARBAGE),
    "silence": _through_proxy(Fault.SILENCE),
}
# Under these a breaker has to open: of the others Redis is well, or is again before anybody asks.
OPENING = frozenset(FAULTS) - {"none", "restarted"}
