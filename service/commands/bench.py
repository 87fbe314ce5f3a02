"""`qdts bench`: the goodput curve of a running server, and how many such servers a load needs."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdts.errors import ConfigError
from qdts.service.commands import connection

if TYPE_CHECKING:
    from qdts.service.bench.curve import Curve, CurveConfig


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "bench",
        help="measure a running server under rising load",
        description="Open loop: requests are sent at their time, whatever the server does; latency counts from then. "
        "Without --rates the server's capacity is measured first and the rates are multiples of it.",
    )
    parser.add_argument("--url", default="localhost:50051", metavar="HOST:PORT", help="default: localhost:50051")
    parser.add_argument("--rates", default="", metavar="A,B", help="requests per second, one point each")
    parser.add_argument("--multiples", default="", metavar="A,B", help="of capacity; default: 0.5 to 10")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each point; default: 10")
    parser.add_argument("--deadline", type=float, default=1000.0, metavar="MS", help="of each request; default: 1000")
    parser.add_argument("--arrivals", choices=("poisson", "bursty", "constant"), default="poisson")
    parser.add_argument("--stream", action="store_true", help="call StreamSummarize")
    parser.add_argument(
        "--cache", choices=("default", "only_fresh", "refresh", "bypass"), default="bypass", help="default: bypass"
    )
    parser.add_argument("--tier", choices=("auto", "fast", "generative", "best"), default="auto")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="JSONL of query, doc, summary; default: the sample")
    parser.add_argument("--connections", type=int, default=4, metavar="N", help="of each process; default: 4")
    parser.add_argument("--drivers", type=int, default=1, metavar="N", help="processes that send; default: 1")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write curve.json, .html and .png there")
    parser.add_argument("--json", action="store_true", help="print the curve as one JSON object")
    connection.add_flags(parser.add_argument_group("connection"))
    plan = parser.add_argument_group("capacity plan: measures nothing, reads a curve.json")
    plan.add_argument("--plan", type=Path, metavar="FILE", help="a curve.json; needs --qps and --slo")
    plan.add_argument("--qps", type=float, metavar="Q", help="requests per second to plan for")
    plan.add_argument("--slo", type=float, metavar="MS", help="p99 of accepted requests")
    plan.add_argument("--headroom", type=float, default=0.3, metavar="SHARE", help="default: 0.3")
    plan.add_argument("--spare", type=int, default=1, metavar="N", help="instances that may be missing; default: 1")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the curve, or the plan."""
    return _plan(args) if args.plan is not None else _measure(args)


def _measure(args: argparse.Namespace) -> int:
    from qdts.models.evaluation.samples import SAMPLE_V1, load_row_file
    from qdts.service.bench.curve import measure_curve
    from qdts.service.bench.report import describe_run, row, to_markdown

    config = read_config(args)
    rows = load_row_file(args.rows or SAMPLE_V1)
    curve = measure_curve(rows, config, lambda point: print("  ".join(row(point)), file=sys.stderr))
    if args.out is not None:
        _write(curve, args.out)
    if args.json:
        print(json.dumps(curve.to_json()))
    else:
        print(f"{to_markdown(curve)}\n\n{describe_run(curve)}")
    return 0


def read_config(args: argparse.Namespace) -> "CurveConfig":
    """What the flags ask for."""
    from qdts.service.bench.arrivals import ArrivalConfig
    from qdts.service.bench.curve import MULTIPLES, CurveConfig
    from qdts.service.bench.driver import DriverConfig
    from qdts.service.bench.workload import RequestClass

    kind = RequestClass(deadline_ms=args.deadline, tier=args.tier, cache_policy=args.cache, is_streaming=args.stream)
    return CurveConfig(
        driver=DriverConfig(
            url=args.url,
            num_connections=args.connections,
            num_processes=args.drivers,
            client=connection.read_client(args),
        ),
        classes=(kind,),
        arrivals=ArrivalConfig(process=args.arrivals),
        rates=_numbers("--rates", args.rates),
        multiples=_numbers("--multiples", args.multiples) or MULTIPLES,
        seconds=args.seconds,
        seed=args.seed,
    )


def _numbers(flag: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as fault:
        raise ConfigError(f"{flag} {text}: must be numbers with commas between them") from fault


def _write(curve: "Curve", directory: Path) -> None:
    from qdts.service.bench.report import can_plot, save_plot, to_html

    directory.mkdir(parents=True, exist_ok=True)
    (directory / "curve.json").write_text(json.dumps(curve.to_json(), indent=1) + "\n", encoding="utf-8")
    (directory / "curve.html").write_text(to_html(curve), encoding="utf-8")
    if can_plot():
        save_plot(curve, directory / "curve.png")


def _plan(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from qdts.service.bench.planner import PlanConfig, make_plan, read_curve

    if args.qps is None or args.slo is None:
        raise ConfigError("--plan: needs --qps and --slo, too")
    config = PlanConfig(qps=args.qps, slo_ms=args.slo, headroom=args.headroom, num_spare=args.spare)
    plan = make_plan(read_curve(args.plan), config)
    if args.json:
        print(json.dumps(asdict(plan)))
        return 0
    print(f"{plan.num_instances} instances for {args.qps:g} requests/s at p99 <= {args.slo:g} ms\n\nAssumed:")
    print("\n".join(f"- {assumption}" for assumption in plan.assumptions))
    return 0
