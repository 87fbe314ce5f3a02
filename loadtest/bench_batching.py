"""What `engine.max_batch` above 1 brings under load: answers by the model in time, at rates that are the same for all.

The rates are multiples of the capacity with max_batch 1, so that each number of places gets the same arrivals. A server
of its own for each, the real model; in turn, as often as there are repeats, each time from another one on, so that a
machine that slows down slows all of them. Load from a process of its own: on an idle machine, or it means nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

from qdts.errors import ConfigError, QdtsError
from qdts.loadtest.report import finish, make_parser
from qdts.loadtest.scenarios.config import Load, Scenario, Stream
from qdts.loadtest.scenarios.run import find_capacity, run_scenario
from qdts.loadtest.simulation.server import Served, ServedConfig
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file
from qdts.service.bench.workload import RequestClass

SIZES, MULTIPLES = (1, 2, 4, 8), (0.8, 1.0, 2.0)
QUICK_SIZES, QUICK_MULTIPLES = (1, 4), (1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingConfig:
    """`sizes` are values of engine.max_batch; `seconds` is how long each load lasts."""

    served: ServedConfig = field(default_factory=lambda: ServedConfig(costs=None))
    sizes: tuple[int, ...] = SIZES
    multiples: tuple[float, ...] = MULTIPLES
    seconds: float = 20.0
    capacity_seconds: float = 8.0
    deadline_ms: float = 500.0
    repeats: int = 3
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.sizes or 1 not in self.sizes or not self.multiples or self.repeats < 1:
            raise ConfigError("batching: needs max_batch 1 among the sizes, a multiple and a repeat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One load on one server. `mean_batch` is over the moments at which a summary joined."""

    max_batch: int
    multiple: float
    offered_qps: float
    model_goodput_qps: float
    goodput_qps: float
    attainment: float
    p50_ms: float | None
    p99_ms: float | None
    mean_batch: float
    is_reliable: bool


@dataclass(slots=True, kw_only=True)
class Measured:
    """All trials; capacities by size, one of each repeat."""

    reference_qps: float
    capacities: dict[int, list[float]]
    trials: list[Trial] = field(default_factory=list[Trial])


def measure(config: BatchingConfig) -> Measured:
    """Blocks for repeats x sizes x (capacity + multiples x seconds)."""
    rows = load_row_file()
    with Served(_sized(config, 1)) as served:
        reference_qps = find_capacity(served, rows, seconds=config.capacity_seconds, seed=config.seed)
    measured = Measured(reference_qps=reference_qps, capacities={size: [] for size in config.sizes})
    for repeat in range(config.repeats):
        first = repeat % len(config.sizes)
        for size in config.sizes[first:] + config.sizes[:first]:
            _measure_size(size, repeat, rows, config, measured)
    return measured


def _sized(config: BatchingConfig, size: int) -> ServedConfig:
    return ServedConfig(costs=config.served.costs, settings={**config.served.settings, "engine.max_batch": size})


def _measure_size(size: int, repeat: int, rows: list[EvalRow], config: BatchingConfig, measured: Measured) -> None:
    with Served(_sized(config, size)) as served:
        # It is the warm-up, too: what each batch size costs is learned here.
        capacity_qps = find_capacity(served, rows, seconds=config.capacity_seconds, seed=config.seed + repeat)
        measured.capacities[size].append(capacity_qps)
        for multiple in config.multiples:
            trial = _try(served, rows, (size, multiple), config, seed=config.seed + repeat, qps=measured.reference_qps)
            measured.trials.append(trial)
            print(
                f"max_batch {size}  {multiple:g}x  by the model {trial.model_goodput_qps:.1f}/s of "
                f"{trial.offered_qps:.1f}/s  p99 {trial.p99_ms or 0:.0f} ms  mean batch {trial.mean_batch:.2f}",
                file=sys.stderr,
                flush=True,
            )


def _try(
    served: Served, rows: list[EvalRow], place: tuple[int, float], config: BatchingConfig, *, seed: int, qps: float
) -> Trial:
    kind = RequestClass(deadline_ms=config.deadline_ms, cache_policy="bypass")
    size, multiple = place
    stream = Stream(phases=(Load(seconds=config.seconds, load=multiple),), kind=kind)
    scenario = Scenario(name=f"{size} at {multiple:g}x", about="", streams=(stream,))
    before = _joined(served)
    figures = run_scenario(scenario, served, rows, capacity_qps=qps, seed=seed).figures
    num, total = (now - then for now, then in zip(_joined(served), before, strict=True))
    return Trial(
        max_batch=size,
        multiple=multiple,
        offered_qps=round(figures.offered_qps, 2),
        model_goodput_qps=round(figures.model_goodput_qps, 2),
        goodput_qps=round(figures.goodput_qps, 2),
        attainment=round(figures.attainment, 4),
        p50_ms=figures.accepted.p50_ms,
        p99_ms=figures.accepted.p99_ms,
        mean_batch=round(total / num, 3) if num else 0.0,
        is_reliable=figures.is_reliable,
    )


def _joined(served: Served) -> tuple[float, float]:
    return served.value("qdts_batch_size_count"), served.value("qdts_batch_size_sum")


def figures_of(measured: Measured, config: BatchingConfig) -> dict[str, object]:
    """Medians over the repeats, by size and multiple; gains are over max_batch 1 at the same rate."""
    table = [_median_of(measured.trials, size, multiple) for multiple in config.multiples for size in config.sizes]
    alone = {row["multiple"]: row["model_goodput_qps"] for row in table if row["max_batch"] == 1}
    for row in table:
        base = alone[row["multiple"]]
        row["gain"] = round(row["model_goodput_qps"] / base, 3) if base else 0.0
    best = {f"best_at_{m:g}x": max(table, key=lambda row: _rank(row, m))["max_batch"] for m in config.multiples}
    return {
        "deadline_ms": config.deadline_ms,
        "reference_qps": round(measured.reference_qps, 2),
        "capacity_qps": {size: round(median(found), 2) for size, found in measured.capacities.items()},
        **best,
        "is_reliable": all(trial.is_reliable for trial in measured.trials),
        "table": table,
        "trials": [asdict(trial) for trial in measured.trials],
    }


def _rank(row: dict[str, float], multiple: float) -> tuple[bool, float, float]:
    """By goodput; of equals, the smaller batch."""
    return row["multiple"] == multiple, row["model_goodput_qps"], -row["max_batch"]


def _median_of(trials: Sequence[Trial], size: int, multiple: float) -> dict[str, float]:
    found = [asdict(trial) for trial in trials if (trial.max_batch, trial.multiple) == (size, multiple)]
    names = ("offered_qps", "model_goodput_qps", "goodput_qps", "attainment", "p50_ms", "p99_ms", "mean_batch")
    medians = {name: round(median(one[name] or 0.0 for one in found), 4) for name in names}
    return {"max_batch": size, "multiple": multiple, **medians}


def read_config(args: argparse.Namespace) -> BatchingConfig:
    """What the flags ask for."""
    if args.quick:
        return BatchingConfig(
            sizes=QUICK_SIZES, multiples=QUICK_MULTIPLES, seconds=4.0, capacity_seconds=3.0, repeats=1
        )
    sizes = tuple(int(part) for part in args.sizes.split(","))
    return BatchingConfig(sizes=sizes, seconds=args.seconds, repeats=args.repeats, deadline_ms=args.deadline)


def main() -> int:
    """Measure and report; 3 if in a full run requests were not sent at their time."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--sizes", default="1,2,4,8", metavar="A,B", help="of engine.max_batch; default: 1,2,4,8")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="of each load; default: 20")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--deadline", type=float, default=500.0, metavar="MS", help="of each request; default: 500")
    args = parser.parse_args()
    try:
        config = read_config(args)
        figures = figures_of(measure(config), config)
    except (QdtsError, ValueError) as fault:
        print(f"bench_batching: {fault}", file=sys.stderr)
        return 2
    finish("batching", args, figures)
    return 0 if figures["is_reliable"] or args.quick else 3


if __name__ == "__main__":
    sys.exit(main())
