"""Redis breaks in every way there is, and processes end, under load: does any call fail, what does it cost, how long?

Calls arrive by a Poisson process. For Redis: a real server over gRPC, a model that counts, a real redis-server behind a
proxy; half of the calls ask what was asked before. What Redis added is summed up for each request. Load and server
share a process there: no time is shorter than the event loop was late. For processes: a server of two fronts and an
engine, and two servers behind clients that balance, with a simulated model. The exit status is 1 if a bar is missed, 3
if one is while this machine was too busy to say anything.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from qdts.loadtest.counting_server import redis_config, serving
from qdts.loadtest.fault_bars import missed_bars
from qdts.loadtest.fault_proxy import FaultProxy
from qdts.loadtest.fault_trial import suffer
from qdts.loadtest.process_faults import PROCESS_FAULTS, suffer_all
from qdts.loadtest.process_trial import TrialConfig
from qdts.loadtest.redis_faults import FAULTS
from qdts.loadtest.redis_server import RedisServer
from qdts.loadtest.report import make_parser, record
from qdts.loadtest.shared_misses import count_misses, count_stale_hits
from qdts.service import logs

NUM_MISSES = 1000
QUICK_TRIAL = TrialConfig(seconds=8.0, before_s=2.0)
MISSED, UNRELIABLE = 1, 3


async def measure(
    *,
    seconds: float,
    num_misses: int = NUM_MISSES,
    faults: Sequence[str] = (*FAULTS, *PROCESS_FAULTS),
    trial: TrialConfig | None = None,
) -> dict[str, object]:
    """Every fault for so long under load, then identical misses, then a new model version."""
    by_fault: dict[str, dict[str, object]] = {}
    with RedisServer("--maxmemory-policy", "noeviction") as redis:
        async with FaultProxy(redis.port) as proxy, serving(redis_config(proxy.url)) as (application, _):
            for name in FAULTS:
                if name in faults:
                    by_fault[name] = await suffer(name, application, redis, proxy, seconds)
        misses = await count_misses(redis, num_misses)
        stale_hits = await count_stale_hits(redis)
    by_fault |= await suffer_all(faults, trial or TrialConfig())
    return {
        "failed_rpcs": sum(int(str(figures["failed_rpcs"])) for figures in by_fault.values()),
        "by_fault": by_fault,
        **misses,
        "stale_hits_after_version_change": stale_hits,
        "is_reliable": all(bool(row["is_reliable"]) for row in by_fault.values()),
    }


def main() -> int:
    """Measure, report, judge."""
    args: argparse.Namespace = make_parser(__doc__ or "").parse_args()
    logs.configure("error")
    trial = QUICK_TRIAL if args.quick else TrialConfig()
    figures: dict[str, Any] = asyncio.run(measure(seconds=2.0 if args.quick else 20.0, trial=trial))
    figures["missed"] = missed = missed_bars(figures)
    for bar in missed:
        print(f"missed: {bar}", file=sys.stderr)
    result = record("faults", args, figures)
    out = sys.stderr if args.json else sys.stdout
    for name, row in figures["by_fault"].items():
        print(f"{name:16} {row}", file=out)
    print({name: value for name, value in figures.items() if name != "by_fault"}, file=out)
    if args.json:
        result.pop("figures")
        print(json.dumps({**result, **figures}, ensure_ascii=False))
    if not missed:
        return 0
    return MISSED if figures["is_reliable"] else UNRELIABLE


if __name__ == "__main__":
    sys.exit(main())
