"""Redis breaks in every way there is, under load: does any call fail, what does it cost, does the breaker recover?

A real server over gRPC, a model that counts, a real redis-server behind a proxy. Calls arrive by a Poisson process,
half of them ask what was asked before. What Redis added is what the server itself measured, per call to Redis. Load and
server share a process: no time below is shorter than the event loop was late.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from qdts.errors import QdtsError
from qdts.loadtest.counting_model import CountingModel
from qdts.loadtest.counting_server import CountingServer, redis_config, serving
from qdts.loadtest.fault_proxy import Fault, FaultProxy
from qdts.loadtest.redis_server import RedisServer
from qdts.loadtest.report import make_parser, record
from qdts.service import logs
from qdts.service.application import Application
from qdts.service.client import AsyncClient, ClientConfig, RetryPolicy
from qdts.service.metrics import Metrics
from qdts.service.redis.config import RedisConfig

DOCUMENT = "The lighthouse was built in 1874 on the northern cape. Keepers lived there until 1981."
RATE_PER_S = 100.0
NUM_POPULAR = 20
TIMEOUT_S = 2.0
RECOVERY_S = 5.0
NUM_MISSES = 1000
NUM_VERSION_QUERIES = 100
# Of the model that is asked for what a thousand callers want at once: all of them are there before it has read.
READ_S = 0.5
# What each figure may be at most. Of two servers each may have begun before it knew of the other.
AT_MOST = {
    "failed_rpcs": 0,
    "model_calls_for_1000_misses": 1,
    "model_calls_for_1000_misses_on_two_servers": 2,
    "model_calls_for_1000_misses_on_two_processes": 2,
    "stale_hits_after_version_change": 0,
}

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


# How to break it, and how to mend it.
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


@dataclass
class Outcomes:
    """How calls ended, by rung or error, and their milliseconds from when they were due; how late the loop was."""

    ends: Counter[str]
    took_ms: list[float]
    late_ms: list[float]

    @property
    def num_failed(self) -> int:
        """Calls that ended in an error."""
        return sum(count for end, count in self.ends.items() if end[0].isupper())


async def measure(*, seconds: float, num_misses: int = NUM_MISSES, faults: Sequence[str] = ()) -> dict[str, object]:
    """Every fault for so long under load, then identical misses, then a new model version."""
    with RedisServer("--maxmemory-policy", "noeviction") as redis:
        async with FaultProxy(redis.port) as proxy, serving(redis_config(proxy.url)) as (application, _):
            by_fault = {name: await _suffer(name, application, redis, proxy, seconds) for name in faults or FAULTS}
        misses = [await _count_model_calls(redis, num_servers, num_misses) for num_servers in (1, 2)]
        misses.append(await _count_model_calls_apart(redis, num_misses))
        stale_hits = await _count_stale_hits(redis)
    return {
        "failed_rpcs": sum(int(str(figures["failed_rpcs"])) for figures in by_fault.values()),
        "by_fault": by_fault,
        "model_calls_for_1000_misses": misses[0],
        "model_calls_for_1000_misses_on_two_servers": misses[1],
        "model_calls_for_1000_misses_on_two_processes": misses[2],
        "stale_hits_after_version_change": stale_hits,
    }


async def _suffer(
    name: str, application: Application, redis: RedisServer, proxy: FaultProxy, seconds: float
) -> dict[str, object]:
    """One fault, from before it to after it."""
    inject, mend = FAULTS[name]
    before = _Reading(application.metrics)
    await asyncio.to_thread(inject, redis, proxy)
    outcomes = await _load(application.port, seconds, name)
    after = _Reading(application.metrics)
    await asyncio.to_thread(mend, redis, proxy)
    closed_after_s = await _recover(application)
    return {
        "requests": outcomes.ends.total(),
        "failed_rpcs": outcomes.num_failed,
        "ends": dict(outcomes.ends.most_common()),
        "call_ms_p99": round(percentile(outcomes.took_ms, 0.99), 1),
        "loop_late_ms_p99": round(percentile(outcomes.late_ms, 0.99), 1),
        "redis_calls": after.num_waits - before.num_waits,
        "added_ms_per_request": round(1000 * (after.waited_s - before.waited_s) / max(1, outcomes.ends.total()), 3),
        "added_ms_p99_at_most": after.p99_ms_since(before, outcomes.ends.total()),
        "breaker_opened": int(after.num_opened - before.num_opened),
        "breaker_closed_after_s": closed_after_s,
    }


class _Reading:
    """What the server has counted so far."""

    def __init__(self, metrics: Metrics) -> None:
        families = {family.name: family for family in metrics.registry.collect()}
        self._buckets: Counter[float] = Counter()
        self.waited_s, self.num_waits = 0.0, 0
        for sample in families["qdts_redis_seconds"].samples:
            if sample.name.endswith("_bucket"):
                self._buckets[float(sample.labels["le"])] += int(sample.value)
            elif sample.name.endswith("_sum"):
                self.waited_s += sample.value
            elif sample.name.endswith("_count"):
                self.num_waits += int(sample.value)
        changes = families["qdts_redis_breaker_changes"].samples
        self.num_opened = sum(s.value for s in changes if s.labels.get("state") == "open" and s.name.endswith("_total"))

    def p99_ms_since(self, before: "_Reading", num_requests: int) -> float:
        """No more than this was added to 99 % of requests: the bound of a bucket. Who did not ask waited 0."""
        num_over_allowed = 0.01 * num_requests
        for bound in sorted(self._buckets):
            num_within = self._buckets[bound] - before._buckets[bound]
            if self.num_waits - before.num_waits - num_within <= num_over_allowed:
                return 1000 * bound
        raise AssertionError("the last bucket holds everything")


async def _load(port: int, seconds: float, name: str) -> Outcomes:
    """Calls that arrive when they are due, whether earlier ones have ended or not. No two names ask the same."""
    chance, late_ms = random.Random(name), list[float]()
    started_at, due_s, calls = time.monotonic(), 0.0, list[asyncio.Task[tuple[str, float]]]()
    async with AsyncClient(f"127.0.0.1:{port}", _client_config()) as client:
        while (due_s := due_s + chance.expovariate(RATE_PER_S)) < seconds:
            await asyncio.sleep(max(0.0, started_at + due_s - time.monotonic()))
            late_ms.append(1000 * (time.monotonic() - started_at - due_s))
            is_popular = chance.random() < 0.5
            query = f"popular {chance.randrange(NUM_POPULAR)}" if is_popular else f"new {chance.getrandbits(64)}"
            calls.append(asyncio.ensure_future(_call(client, f"{name} {query}", started_at + due_s)))
        ended = await asyncio.gather(*calls)
    return Outcomes(Counter(end for end, _ in ended), [took_ms for _, took_ms in ended], late_ms)


async def _call(client: AsyncClient, query: str, due_at: float) -> tuple[str, float]:
    try:
        end = (await client.summarize(query, DOCUMENT)).rung
    except QdtsError as error:
        end = type(error).__name__
    return end, 1000 * (time.monotonic() - due_at)


async def _recover(application: Application) -> float | None:
    """Seconds until both breakers have closed, given something to do; None: they did not in time."""
    started_at = time.monotonic()
    async with AsyncClient(f"127.0.0.1:{application.port}", _client_config()) as client:
        while (passed_s := time.monotonic() - started_at) < RECOVERY_S:
            sides = ("read", "write")
            if not any(application.metrics.value("qdts_redis_breaker", side=side) for side in sides):
                return round(passed_s, 2)
            await _call(client, f"recovery {time.monotonic()}", time.monotonic())
            await asyncio.sleep(0.02)
    return None


async def _count_model_calls(redis: RedisServer, num_servers: int, num_misses: int) -> int:
    """Of that many identical misses at once, spread over so many servers of this process."""
    async with _several(redis, num_servers) as servers:
        await _miss([application.port for application, _ in servers], f"asked of {num_servers}", num_misses)
        return sum(model.num_calls for _, model in servers)


async def _count_model_calls_apart(redis: RedisServer, num_misses: int) -> int:
    """The same on two servers in processes of their own, which share nothing but Redis."""
    config = _patient(redis)
    with CountingServer(config, read_s=READ_S) as one, CountingServer(config, read_s=READ_S) as other:
        await _miss([one.port, other.port], "asked of two processes", num_misses)
        return one.num_calls() + other.num_calls()


async def _miss(ports: Sequence[int], query: str, num_misses: int) -> None:
    async with AsyncExitStack() as open_clients:
        clients = [
            await open_clients.enter_async_context(AsyncClient(f"127.0.0.1:{port}", _client_config(30)))
            for port in ports
        ]
        share = num_misses // len(ports)
        calls = [_call(client, query, time.monotonic()) for _ in range(share) for client in clients]
        ended = await asyncio.gather(*calls)
    assert all(end[0].islower() for end, _ in ended), Counter(end for end, _ in ended)


def _patient(redis: RedisServer) -> RedisConfig:
    """A thousand calls at once keep event loops busy for longer than Redis may take in service."""
    return replace(redis_config(redis.url), budget_ms=100.0, lease_ms=10_000)


@asynccontextmanager
async def _several(redis: RedisServer, num: int) -> AsyncIterator[list[tuple[Application, CountingModel]]]:
    """That many servers on one Redis, each with a model that takes its time."""
    if num == 0:
        yield []
        return
    async with serving(_patient(redis), CountingModel(read_s=READ_S)) as one, _several(redis, num - 1) as others:
        yield [one, *others]


async def _count_stale_hits(redis: RedisServer) -> int:
    """Replies of the old model that a server with the new one gives."""
    queries = [f"version {number}" for number in range(NUM_VERSION_QUERIES)]
    config = replace(redis_config(redis.url), budget_ms=100.0)
    versions: list[str] = []
    for version in ("counting@1", "counting@2"):
        async with serving(config, CountingModel(version=version)) as (application, _):
            async with AsyncClient(f"127.0.0.1:{application.port}", _client_config()) as client:
                replies = [await client.summarize(query, DOCUMENT) for query in queries]
        versions = [reply.model_version for reply in replies]
    return sum(version != "counting@2" for version in versions)


def missed_bars(figures: Mapping[str, object]) -> list[str]:
    """The bars that are missed, in words; breakers that stay open are one, too."""
    rows: Any = figures["by_fault"]
    missed = [
        f"{name} = {figures[name]}, at most {bar}" for name, bar in AT_MOST.items() if int(str(figures[name])) > bar
    ]
    return missed + [
        f"{name}: breaker still open" for name, row in rows.items() if row["breaker_closed_after_s"] is None
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _client_config(timeout_s: float = TIMEOUT_S) -> ClientConfig:
    """No retries: a call that fails is counted."""
    return ClientConfig(timeout_s=timeout_s, retry=RetryPolicy(max_attempts=1))


def main() -> int:
    """Measure and report; 1 if a bar is missed."""
    args: argparse.Namespace = make_parser(__doc__ or "").parse_args()
    logs.configure("error")
    figures = asyncio.run(measure(seconds=2.0 if args.quick else 20.0))
    figures["missed"] = missed = missed_bars(figures)
    for bar in missed:
        print(f"missed: {bar}", file=sys.stderr)
    result = record("faults", args, figures)
    out = sys.stderr if args.json else sys.stdout
    for name, row in dict(figures["by_fault"]).items():  # type: ignore[call-overload]
        print(f"{name:14} {row}", file=out)
    print({name: value for name, value in figures.items() if name != "by_fault"}, file=out)
    if args.json:
        result.pop("figures")
        print(json.dumps({**result, **figures}, ensure_ascii=False))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
