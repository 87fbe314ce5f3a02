"""Holds the service to its word under overload: goodput, latency, rejections, recovery, health, by open-loop load.

With --quick a simulated model of known cost answers (simulation/), else the real one on this machine's CPU. Capacity is
measured first; loads are multiples of it. The exit status is 1 if a bar is missed, and 3 if one is while requests were
not sent at their time: then this machine was too busy, and nothing is said of the server.

One figure needs words: `goodput_ratio_10x` is the worse of two ratios of 10x to 1x, of all answers in time and of those
the model wrote, so that neither falling down the ladder nor refusing everybody can pass for holding up.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qdts.errors import ConfigError, QdtsError
from qdts.loadtest.overload_bars import MISUSED, missed_bars, verdict
from qdts.loadtest.report import RESULTS_DIR, finish, make_parser, record
from qdts.loadtest.scenarios.config import Load, Scenario, Stream, load_scenario, names
from qdts.loadtest.scenarios.run import Result, StreamResult, find_capacity, run_scenario
from qdts.loadtest.scenarios.suite import Ran, SuiteConfig, is_reliable, run_one
from qdts.loadtest.scenarios.suite import figures_of as suite_figures
from qdts.loadtest.scenarios.suite import to_markdown as to_table
from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.server import Served, ServedConfig
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file
from qdts.service.bench.curve import Curve, Point
from qdts.service.bench.figures import percentile
from qdts.service.bench.report import can_plot, describe_run, row, save_plot, to_html, to_markdown
from qdts.service.bench.workload import RequestClass

QUICK_MULTIPLES = (1.0, 2.0, 5.0, 10.0)
FULL_MULTIPLES = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
SCENARIOS = ("step", "priority_storm", "refusals")
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadConfig:
    """`deadline_ms` is the SLO of every request; `seconds` is how long each load lasts."""

    served: ServedConfig
    multiples: tuple[float, ...] = FULL_MULTIPLES
    seconds: float = 15.0
    deadline_ms: float = 500.0
    capacity_seconds: float = 8.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not {1.0, 10.0} <= set(self.multiples):
            raise ConfigError("overload: the loads must hold 1x and 10x")


@dataclass(slots=True, kw_only=True)
class Measured:
    """All that was run."""

    capacity_qps: float
    points: dict[float, Result] = field(default_factory=dict[float, Result])
    scenarios: dict[str, Result] = field(default_factory=dict[str, Result])

    @property
    def results(self) -> list[Result]:
        """Every run there was."""
        return [*self.points.values(), *self.scenarios.values()]

    def interactive(self, scenario: str) -> StreamResult | None:
        """Those that people wait for, in a scenario; None if that was not run."""
        return self.scenarios[scenario].by_class["interactive"] if scenario in self.scenarios else None


def measure(config: OverloadConfig) -> Measured:
    """One server, all loads, from the lowest to the highest, then the scenarios; those with settings on their own."""
    rows = load_row_file()
    with Served(config.served) as served:
        capacity_qps = find_capacity(served, rows, seconds=config.capacity_seconds, seed=config.seed)
        measured = Measured(capacity_qps=capacity_qps)
        for number, multiple in enumerate(sorted(config.multiples)):
            scenario = constant_load(multiple, config)
            measured.points[multiple] = _run(scenario, served, rows, measured, config.seed + 100 * number)
        scenarios = [_with_deadline(load_scenario(name), config.deadline_ms) for name in SCENARIOS]
        for scenario in scenarios:
            if not scenario.settings:
                measured.scenarios[scenario.name] = _run(scenario, served, rows, measured, config.seed)
    for scenario in scenarios:
        if scenario.settings:
            settings = {**config.served.settings, **scenario.settings}
            with Served(replace(config.served, settings=settings)) as served:
                measured.scenarios[scenario.name] = _run(scenario, served, rows, measured, config.seed)
    return measured


def constant_load(multiple: float, config: OverloadConfig) -> Scenario:
    """So many times the capacity, for as long as a point lasts."""
    kind = RequestClass(deadline_ms=config.deadline_ms, cache_policy="bypass")
    stream = Stream(phases=(Load(seconds=config.seconds, load=multiple),), kind=kind)
    return Scenario(name=f"{multiple:g}x", about="", streams=(stream,))


def _run(scenario: Scenario, served: Served, rows: list[EvalRow], measured: Measured, seed: int) -> Result:
    result = run_scenario(scenario, served, rows, capacity_qps=measured.capacity_qps, seed=seed)
    point = Point(rate=result.figures.offered_qps, figures=result.figures)
    print(f"{scenario.name:16}", "  ".join(row(point)), file=sys.stderr, flush=True)
    return result


def _with_deadline(scenario: Scenario, deadline_ms: float) -> Scenario:
    """The real model and the simulated one have not the same pace: their deadlines differ."""
    streams = (replace(stream, kind=replace(stream.kind, deadline_ms=deadline_ms)) for stream in scenario.streams)
    return replace(scenario, streams=tuple(streams))


def figures_of(measured: Measured) -> dict[str, object]:
    """The figures that have bars first, then what they are made of."""
    results, at_10x = measured.results, measured.points[10.0]
    step, storm = measured.interactive("step"), measured.interactive("priority_storm")
    refusals = measured.scenarios.get("refusals")
    rejections = [one.figures.rejections.p99_ms for one in results if one.figures.rejections.p99_ms is not None]
    ratios = {
        f"goodput_ratio_{multiple:g}x": _ratio(measured, multiple) for multiple in measured.points if multiple > 1
    }
    return {
        **ratios,
        "accepted_p99_over_slo": max(one.figures.accepted_p99_over_slo or 0.0 for one in results),
        "reject_p99_ms": max(rejections, default=None),
        "recovery_s": step.recovery_s if step else None,
        "late_replies": sum(one.figures.late for one in results),
        "wasted_steps": sum(one.steps.wasted for one in results),
        "health_p99_ms": at_10x.server.health_p99_ms,
        "interactive_attainment": storm.figures.attainment if storm else None,
        "failed": sum(one.figures.failed for one in results),
        **{f"goodput_at_{multiple:g}x": _goodput(one) for multiple, one in measured.points.items()},
        "capacity_qps": round(measured.capacity_qps, 2),
        "steps": sum(one.steps.taken for one in results),
        # Without what passed before they were sent, by the driver's fault; and what the server took of it.
        "reject_p99_ms_from_sending": _refused_ms(refusals) if refusals else None,
        "refused_by_server_within_5_ms": refusals.server.refused_at_once if refusals else None,
        "refused_by_server_within_10_ms": refusals.server.refused_soon if refusals else None,
        "refusals_sending_lag_p99_ms": refusals.figures.sending_lag_p99_ms if refusals else None,
        "unused_steps": sum(one.steps.unused for one in results),
        "expired": sum(one.figures.expired for one in results),
        "unsent": sum(one.figures.unsent for one in results),
        "sending_lag_p99_ms": max(one.figures.sending_lag_p99_ms or 0.0 for one in results),
        "is_reliable": all(one.figures.is_reliable for one in results),
    }


def _goodput(result: Result) -> dict[str, float]:
    """Answers per second in time: in full, by the model, from whatever rung."""
    figures = result.figures
    kinds = {"full": figures.full_goodput_qps, "model": figures.model_goodput_qps, "any": figures.goodput_qps}
    return {kind: round(qps, 2) for kind, qps in kinds.items()}


def _refused_ms(refusals: Result) -> float | None:
    refused_s = [one.ended_s - one.sent_s for one in refusals.run.outcomes if one.is_rejected]
    p99_s = percentile(refused_s, 0.99)
    return None if p99_s is None else round(1000 * p99_s, 3)


def _ratio(measured: Measured, multiple: float) -> float:
    """Goodput there over goodput at 1x: of all answers, or of the model's, whichever is worse."""
    there, at_1x = measured.points[multiple].figures, measured.points[1.0].figures
    pairs = [(there.goodput_qps, at_1x.goodput_qps), (there.model_goodput_qps, at_1x.model_goodput_qps)]
    return round(min(one / other if other else 0.0 for one, other in pairs), 4)


def curve_of(measured: Measured, config: OverloadConfig) -> Curve:
    """The constant loads as a curve, for reports and for the planner."""
    points = (Point(rate=m * measured.capacity_qps, figures=one.figures) for m, one in measured.points.items())
    return Curve(
        capacity_qps=measured.capacity_qps,
        deadline_ms=config.deadline_ms,
        seconds=config.seconds,
        process="poisson",
        points=tuple(points),
    )


def write_report(measured: Measured, config: OverloadConfig, directory: Path = RESULTS_DIR) -> None:
    """overload.html, .md and, with matplotlib, .png."""
    curve = curve_of(measured, config)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "overload.html").write_text(to_html(curve, "Goodput under overload"), encoding="utf-8")
    (directory / "overload.md").write_text(f"{describe_run(curve)}\n\n{to_markdown(curve)}\n", encoding="utf-8")
    if can_plot():
        save_plot(curve, directory / "overload.png")


def read_config(args: argparse.Namespace) -> OverloadConfig:
    """What the flags ask for."""
    if args.quick or args.simulated:
        served = ServedConfig(costs=CostModel())
        return OverloadConfig(served=served, multiples=QUICK_MULTIPLES, seconds=4.0, capacity_seconds=3.0)
    return OverloadConfig(served=ServedConfig(costs=None), seconds=args.seconds, deadline_ms=args.deadline)


def main() -> int:
    """Measure, report, judge."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--scenario", metavar="NAME", help=f"{', '.join(names())}, a file, or {ALL} in turn")
    parser.add_argument("--simulated", action="store_true", help="with --scenario: the simulated model")
    parser.add_argument("--seconds", type=float, default=15.0, metavar="S", help="of each load in a full run")
    parser.add_argument("--deadline", type=float, default=500.0, metavar="MS", help="in a full run; default: 500")
    args = parser.parse_args()
    try:
        return _judge(args, read_config(args))
    except QdtsError as fault:
        print(f"overload: {fault}", file=sys.stderr)
        return MISUSED


def _judge(args: argparse.Namespace, config: OverloadConfig) -> int:
    if args.scenario:
        return _judge_scenarios(args, config)
    measured = measure(config)
    figures = figures_of(measured)
    missed = missed_bars(figures)
    if not args.quick:
        write_report(measured, config)
        figures["curve"] = curve_of(measured, config).to_json()
        figures["scenarios"] = {one.name: one.to_json() for one in measured.results}
    _say(missed)
    finish("overload", args, {**figures, "missed": missed})
    return verdict(missed, is_reliable=bool(figures["is_reliable"]))


def _judge_scenarios(args: argparse.Namespace, config: OverloadConfig) -> int:
    """One scenario, or all that ship in turn; only all of them leave results."""
    asked = names() if args.scenario == ALL else [args.scenario]
    suite = SuiteConfig(served=config.served, capacity_seconds=config.capacity_seconds, seed=config.seed)
    all_ran: list[Ran] = []
    for name in asked:
        all_ran.append(run_one(name, suite))
        print(to_table(all_ran[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    args.quick = args.quick or args.scenario != ALL
    figures = suite_figures(all_ran)
    model = "the real model" if config.served.costs is None else "the simulated model"
    result = record("scenarios", args, {"model": model, **figures})
    if not args.quick:
        (RESULTS_DIR / "scenarios.md").write_text(f"With {model}.\n\n{to_table(all_ran)}\n", encoding="utf-8")
    print(to_table(all_ran), file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    missed = [bar for ran in all_ran for bar in ran.result.missed]
    _say(missed)
    return verdict(missed, is_reliable=is_reliable(all_ran))


def _say(missed: Sequence[str]) -> None:
    for bar in missed:
        print(f"missed: {bar}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
