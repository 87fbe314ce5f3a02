"""What a front can take and what it adds to a request, and when more of them, or engines apart, are worth it.

The engine takes no time, so that everything measured is the service's own: gRPC, validation, cache, admission, the way
to the engine and back. Then the real model says how much of a request that is. Processor time per request is the
figure to trust: the driver runs on the same machine, and where that has two cores it competes with what it drives.
An open-loop run whose requests were not sent at their time is run again, once, and named in `unreliable` if it stays
so: its added milliseconds are the driver's.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from qdts.loadtest.closed_loop import ClosedConfig, ClosedRun, drive_closed
from qdts.loadtest.report import finish, make_parser
from qdts.loadtest.simulation.costs import INSTANT
from qdts.loadtest.simulation.fleet import INSTANT_MODULES, REAL_MODULES, Fleet, cpu_s
from qdts.loadtest.simulation.server import QUIET, Served, ServedConfig
from qdts.models.evaluation.samples import load_row_file
from qdts.service.bench.apart import drive_apart
from qdts.service.bench.arrivals import ArrivalConfig, Phase, arrival_times
from qdts.service.bench.driver import DriverConfig
from qdts.service.bench.figures import Figures, describe
from qdts.service.bench.workload import Arrival, PopularityConfig, RequestClass, Workload
from qdts.service.client.messages import to_proto
from qdts.service.config import Value, load_config

NUM_FRONTS, NUM_ENGINES = 2, 2
NUM_CONNECTIONS = 8
OPEN_SHARE = 0.5
OPEN_ATTEMPTS = 2
DEADLINE_MS = 10_000.0
# Nobody is turned away for coming at once, and one thread's time is its work's: several wait by turning in circles.
ROOMY: Mapping[str, Value] = {"engine.max_batch": 8, "engine.max_queue": 4096, "engine.num_threads": 1}

# Replies that are made, or found in the front's own cache.
Kind = Literal["made", "hit"]
KINDS: Mapping[Kind, RequestClass] = {
    "made": RequestClass(name="made", tier="generative", cache_policy="bypass", deadline_ms=DEADLINE_MS),
    "hit": RequestClass(name="hit", tier="generative", deadline_ms=DEADLINE_MS),
}
POPULARITY: Mapping[Kind, PopularityConfig] = {
    "made": PopularityConfig(num_documents=500),
    "hit": PopularityConfig(num_documents=10, num_queries=1),
}


class Server(Protocol):
    """What is measured."""

    @property
    def url(self) -> str:
        """Where it answers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontConfig:
    """How long each load lasts, and how many callers try to find the most."""

    seconds: float = 10.0
    callers: tuple[int, ...] = (4, 16, 64)
    model_seconds: float = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What so many callers got, and the processor time of each process per request."""

    num_callers: int
    run: ClosedRun
    cpu_ms: Mapping[str, float]

    @property
    def front_cpu_ms(self) -> float:
        """Of all processes that take calls."""
        return sum(ms for name, ms in self.cpu_ms.items() if not name.startswith("engine"))

    @property
    def engine_cpu_ms(self) -> float:
        """Of all engine processes."""
        return sum(ms for name, ms in self.cpu_ms.items() if name.startswith("engine"))


def measure(config: FrontConfig) -> dict[str, object]:
    """All figures."""
    figures: dict[str, object] = {
        "cores": os.cpu_count(),
        "driver": "same machine, own process; competes for its cores",
    }
    with Served(ServedConfig(costs=INSTANT, settings=ROOMY)) as served:
        figures |= of_server("one", served, {"server": served.pid}, config)
    with fleet(fronts=NUM_FRONTS, is_instant=True) as server:
        figures |= of_server("two", server, server.pids, config)
    with fleet(fronts=NUM_FRONTS, engines=NUM_ENGINES, is_instant=True) as server:
        figures |= of_server("two_engines", server, server.pids, config)
    with fleet(fronts=1, is_instant=False) as server:
        figures |= of_model(_load(server, server.pids, "made", 8, config.model_seconds))
    return figures | worth(figures) | {"unreliable": unreliable(figures)}


def unreliable(figures: Mapping[str, object]) -> list[str]:
    """The open-loop runs whose requests were not sent at their time."""
    ending = "_open_is_reliable"
    return [name.removesuffix(ending) for name, value in figures.items() if name.endswith(ending) and not value]


def fleet(*, fronts: int, engines: int = 1, is_instant: bool) -> Fleet:
    """A server of so many fronts and engine processes."""
    settings: Mapping[str, Value] = {
        **QUIET,
        **ROOMY,
        "processes.fronts": fronts,
        "processes.engines": engines,
    }
    return Fleet(load_config(None, {}, settings), INSTANT_MODULES if is_instant else REAL_MODULES)


def of_server(name: str, server: Server, pids: Mapping[str, int], config: FrontConfig) -> dict[str, object]:
    """At its most, by as many callers as that takes, and at half of that, by an open loop."""
    figures: dict[str, object] = {}
    for kind in KINDS:
        loads = (_load(server, pids, kind, num_callers, config.seconds) for num_callers in config.callers)
        most = max(loads, key=lambda load: load.run.rps)
        opened = _open_loop(server, kind, OPEN_SHARE * most.run.rps, config.seconds)
        found = {**of_load(most), **of_open(opened)}
        print(f"{name} {kind}", found, file=sys.stderr, flush=True)
        figures |= {f"{name}_{kind}_{key}": value for key, value in found.items()}
    return figures


def of_load(load: Load) -> dict[str, object]:
    """The most that was found."""
    return {
        "rps": round(load.run.rps, 1),
        "callers": load.num_callers,
        "failed": load.run.num_failed,
        "front_cpu_ms": round(load.front_cpu_ms, 3),
        "engine_cpu_ms": round(load.engine_cpu_ms, 3),
        "driver_cpu_ms": round(load.run.driver_cpu_ms_per_rpc, 3),
        # What the fronts could take if each had a core for itself, and the driver another one.
        "rps_per_front_core": round(1000 / load.front_cpu_ms, 1) if load.front_cpu_ms else None,
    }


def of_open(opened: Figures) -> dict[str, object]:
    """What a request gains in time, at half of the most."""
    return {
        "open_rps": round(opened.offered_qps, 1),
        "added_p50_ms": opened.accepted.p50_ms,
        "added_p99_ms": opened.accepted.p99_ms,
        "open_failed": opened.failed + opened.expired + opened.rejected + opened.unsent,
        "sending_lag_p99_ms": opened.sending_lag_p99_ms,
        "open_is_reliable": opened.is_reliable,
    }


def of_model(load: Load) -> dict[str, object]:
    """How a request's processor time is shared between front and engine, with the real model."""
    whole = load.front_cpu_ms + load.engine_cpu_ms
    return {
        "model_rps": round(load.run.rps, 2),
        "model_failed": load.run.num_failed,
        "model_front_cpu_ms": round(load.front_cpu_ms, 3),
        "model_engine_cpu_ms": round(load.engine_cpu_ms, 3),
        "model_front_share": round(load.front_cpu_ms / whole, 4) if whole else None,
    }


def worth(figures: Mapping[str, object]) -> dict[str, object]:
    """From how many requests per second of the engine on one front is what limits: its core is full then.

    The text work of the real model's prompts, which the instant one is spared, is the front's, too: counted here.
    """
    front_ms = figures["model_front_cpu_ms"]
    assert isinstance(front_ms, float)
    limit = 1000 / front_ms if front_ms else 0.0
    statement = (
        f"one front's core is full at about {limit:.0f} requests/s of the engine; half of that, where its queues "
        f"are still short, is {limit / 2:.0f}: beyond it another front is worth a core"
    )
    return {"front_limit_rps": round(limit, 1), "worth": statement}


def _load(server: Server, pids: Mapping[str, int], kind: Kind, num_callers: int, seconds: float) -> Load:
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    closed = ClosedConfig(url=server.url, num_callers=num_callers, num_connections=NUM_CONNECTIONS, seconds=seconds)
    run = drive_closed([to_proto(arrival.request).SerializeToString() for arrival in _arrivals(kind, 1, 1000)], closed)
    count = max(1, run.num_answered + run.num_failed)
    cpu_ms = {name: 1000 * (cpu_s(pid) - before[name]) / count for name, pid in pids.items()}
    return Load(num_callers=num_callers, run=run, cpu_ms=cpu_ms)


def _open_loop(server: Server, kind: Kind, rate: float, seconds: float) -> Figures:
    driver, arrivals = DriverConfig(url=server.url, num_connections=NUM_CONNECTIONS), _arrivals(kind, seconds, rate)
    for _ in range(OPEN_ATTEMPTS):
        figures = describe(drive_apart(arrivals, driver).outcomes, seconds)
        if figures.is_reliable:
            break
    return figures


def _arrivals(kind: Kind, seconds: float, rate: float) -> list[Arrival]:
    times = arrival_times([Phase(seconds=seconds, rate=rate)], ArrivalConfig(), seed=1)
    return Workload(load_row_file(), [KINDS[kind]], POPULARITY[kind]).arrivals(times, seed=1)


def main() -> int:
    """Measure and report."""
    parser = make_parser(__doc__ or "")
    args: argparse.Namespace = parser.parse_args()
    quick = FrontConfig(seconds=2.0, callers=(16,), model_seconds=6.0)
    figures = measure(quick if args.quick else FrontConfig())
    finish("front", args, figures)
    if figures["unreliable"]:
        print(f"unreliable, sent too late: {figures['unreliable']}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
