"""A whole server, with as many processes as it takes, at rising rates: requests/s end to end at which the SLO is kept.

Open loop over gRPC, driven by several processes. A rate is kept when p99 is within the SLO, 99 % of the requests are
answered in time and 95 % of the answers are the model's; the figure is the highest such rate below which all are kept.
The rates begin at --from and double until one is not kept, then a few between the last two are tried. On a GPU: --set
engine.runtime=cuda --set engine.max_batch=64 --fronts 8 --drivers 6.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qdts.errors import ConfigError, QdtsError
from qdts.loadtest.report import finish, make_parser
from qdts.loadtest.simulation.fleet import REAL_MODULES, Fleet
from qdts.loadtest.simulation.server import QUIET
from qdts.models.evaluation.samples import load_row_file
from qdts.service.bench.curve import CurveConfig, Point, measure_point
from qdts.service.bench.driver import DriverConfig
from qdts.service.bench.planner import Measured, PlanConfig, meets
from qdts.service.bench.report import row
from qdts.service.bench.workload import RequestClass
from qdts.service.config import Value, load_config

MISUSED = 2
# Calls of one driver's connection are bounded by the server; here they are nobody's flood.
ROOMY: Mapping[str, Value] = {"server.max_calls_per_peer": 0, "engine.max_queue": 4096}
MAX_DOUBLINGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """`slo_ms` is every request's deadline, too. `refinements`: rates tried between the last kept one and the next."""

    slo_ms: float = 55.0
    first_rate: float = 50.0
    refinements: int = 2
    seconds: float = 8.0
    drivers: int = 1
    fronts: int = 1
    settings: Mapping[str, Value]
    seed: int = 1

    def __post_init__(self) -> None:
        if self.fronts < 1:
            raise ConfigError("--fronts: must be at least 1")
        if self.slo_ms <= 0 or self.first_rate <= 0 or self.seconds <= 0:
            raise ConfigError("--slo, --from, --seconds: must be above 0")


def measure(config: ServingConfig) -> dict[str, object]:
    """The highest rate that is kept, and all points."""
    settings = {**QUIET, **ROOMY, **config.settings, "processes.fronts": config.fronts}
    rows = load_row_file()
    with Fleet(load_config(None, {}, settings), REAL_MODULES) as server:
        kind = RequestClass(deadline_ms=config.slo_ms, cache_policy="bypass", tier="generative")
        driver = DriverConfig(url=server.url, num_connections=2 * config.fronts, num_processes=config.drivers)
        curve = CurveConfig(driver=driver, classes=(kind,), seconds=config.seconds)

        def at(rate: float) -> Point:
            point = measure_point(rows, curve, rate, seed=config.seed + round(rate))
            print("  ".join(row(point)), file=sys.stderr, flush=True)
            return point

        at(config.first_rate)  # what only first calls take is not counted
        points = search(at, config)
    kept = [point.rate for point in points if keeps(point, config.slo_ms)]
    return {
        "requests_per_s": max(kept, default=0.0),
        "slo_ms": config.slo_ms,
        "fronts": config.fronts,
        "drivers": config.drivers,
        "is_reliable": all(point.figures.is_reliable for point in points),
        "points": [described(point) for point in points],
    }


def search(at: Callable[[float], Point], config: ServingConfig) -> list[Point]:
    """Points by rising rate: doubled while they are kept, then some between the last two."""
    points: list[Point] = []
    kept, missed = 0.0, config.first_rate
    for _ in range(MAX_DOUBLINGS):
        points.append(at(missed))
        if not keeps(points[-1], config.slo_ms):
            break
        kept, missed = missed, 2 * missed
    for _ in range(config.refinements if kept else 0):
        middle = (kept + missed) / 2
        points.append(at(middle))
        kept, missed = (middle, missed) if keeps(points[-1], config.slo_ms) else (kept, middle)
    return sorted(points, key=lambda point: point.rate)


def keeps(point: Point, slo_ms: float) -> bool:
    """Whether the SLO is kept there, as the planner means it."""
    figures = point.figures
    seen = Measured(
        offered_qps=figures.offered_qps,
        attainment=figures.attainment,
        model_share=figures.model_share,
        p99_ms=figures.accepted.p99_ms,
    )
    return meets(seen, PlanConfig(qps=point.rate, slo_ms=slo_ms))


def described(point: Point) -> dict[str, object]:
    """What a report says of a point."""
    figures = point.figures
    return {
        "rate": point.rate,
        "goodput": round(figures.goodput_qps, 1),
        "by_model": round(figures.model_goodput_qps, 1),
        "p50_ms": figures.accepted.p50_ms,
        "p99_ms": figures.accepted.p99_ms,
        "lag_p99_ms": figures.sending_lag_p99_ms,
        "rungs": figures.rungs,
    }


def read_config(args: argparse.Namespace) -> ServingConfig:
    """What the flags ask for."""
    given: dict[str, Value] = {}
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: must be NAME=VALUE")
        given[name] = value
    return ServingConfig(
        slo_ms=args.slo,
        first_rate=args.first_rate,
        refinements=0 if args.quick else args.refinements,
        seconds=min(args.seconds, 2.0) if args.quick else args.seconds,
        drivers=args.drivers,
        fronts=args.fronts,
        settings=given,
    )


def main() -> int:
    """Measure and report."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting, repeatable")
    parser.add_argument("--fronts", type=int, default=1, metavar="N")
    parser.add_argument("--drivers", type=int, default=1, metavar="N")
    parser.add_argument("--slo", type=float, default=55.0, metavar="MS", help="p99, and each deadline; default: 55")
    parser.add_argument("--from", dest="first_rate", type=float, default=50.0, metavar="QPS", help="default: 50")
    parser.add_argument("--seconds", type=float, default=8.0, metavar="S", help="of each rate; default: 8")
    parser.add_argument("--refinements", type=int, default=2, metavar="N", help="default: 2")
    args = parser.parse_args()
    try:
        finish("serving", args, measure(read_config(args)))
    except QdtsError as fault:
        print(f"bench_serving: {fault}", file=sys.stderr)
        return MISUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
