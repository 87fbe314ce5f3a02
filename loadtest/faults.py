"""Redis breaks in every way there is, under load: does any call fail, what does it cost, does the breaker recover?

A real server over gRPC, a model that counts, a real redis-server behind a proxy. Calls arrive by a Poisson process,
half of them ask what was asked before. What Redis added is what the server itself measured, per call to Redis. Load and
server share a process: no time below is shorter than the event loop was late.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from qdts.loadtest.counting_server import redis_config, serving
from qdts.loadtest.fault_proxy import FaultProxy
from qdts.loadtest.fault_trial import suffer
from qdts.loadtest.redis_faults import FAULTS
from qdts.loadtest.redis_server import RedisServer
from qdts.loadtest.report import make_parser, record
from qdts.loadtest.shared_misses import count_model_calls, count_model_calls_apart, count_stale_hits
from qdts.service import logs

NUM_MISSES = 1000
# What each figure may be at most. Of two servers each may have begun before it knew of the other.
AT_MOST = {
    "failed_rpcs": 0,
    "model_calls_for_1000_misses": 1,
    "model_calls_for_1000_misses_on_two_servers": 2,
    "model_calls_for_1000_misses_on_two_processes": 2,
    "stale_hits_after_version_change": 0,
}


async def measure(*, seconds: float, num_misses: int = NUM_MISSES, faults: Sequence[str] = ()) -> dict[str, object]:
    """Every fault for so long under load, then identical misses, then a new model version."""
    with RedisServer("--maxmemory-policy", "noeviction") as redis:
        async with FaultProxy(redis.port) as proxy, serving(redis_config(proxy.url)) as (application, _):
            by_fault = {name: await suffer(name, application, redis, proxy, seconds) for name in faults or FAULTS}
        misses = [await count_model_calls(redis, num_servers, num_misses) for num_servers in (1, 2)]
        misses.append(await count_model_calls_apart(redis, num_misses))
        stale_hits = await count_stale_hits(redis)
    return {
        "failed_rpcs": sum(int(str(figures["failed_rpcs"])) for figures in by_fault.values()),
        "by_fault": by_fault,
        "model_calls_for_1000_misses": misses[0],
        "model_calls_for_1000_misses_on_two_servers": misses[1],
        "model_calls_for_1000_misses_on_two_processes": misses[2],
        "stale_hits_after_version_change": stale_hits,
    }


def missed_bars(figures: Mapping[str, object]) -> list[str]:
    """The bars that are missed, in words; breakers that stay open are one, too."""
    rows: Any = figures["by_fault"]
    missed = [
        f"{name} = {figures[name]}, at most {bar}" for name, bar in AT_MOST.items() if int(str(figures[name])) > bar
    ]
    return missed + [
        f"{name}: breaker still open" for name, row in rows.items() if row["breaker_closed_after_s"] is None
    ]


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
