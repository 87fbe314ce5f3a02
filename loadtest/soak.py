"""Keeps a server busy for minutes while many callers leave at random moments, and looks for what stays behind.

Half of the capacity is asked for by callers who wait; on top come as many as are to be cancelled, 10,000 unless told
otherwise. Memory, tasks and files of the server's process are read every second. At the end nobody is left: tasks,
files and places in the engine must be as before, and memory must not have grown over the second half (until then
caches fill). With --quick one minute on the simulated model. The exit status is 1 if a bar is missed.
"""

import argparse
import math
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from qdts.errors import QdtsError
from qdts.loadtest.report import RESULTS_DIR, finish, make_parser
from qdts.loadtest.scenarios.config import Load, Scenario, Stream, make_arrivals
from qdts.loadtest.scenarios.run import find_capacity
from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.server import Served, ServedConfig, Status
from qdts.loadtest.soak_plot import save_plot
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file
from qdts.service.bench.apart import drive_apart
from qdts.service.bench.driver import DriverConfig, Run
from qdts.service.bench.figures import describe
from qdts.service.bench.report import can_plot
from qdts.service.bench.workload import Arrival, RequestClass

SAMPLE_EVERY_S = 1.0
# Connections that have just ended, and the last calls' tasks, take a moment to go.
SETTLE_S = 15.0
# Some of those who are to leave are answered before they do: so many more are sent than are to be cancelled.
OVERSHOOT = 2.0
# A model that is fast enough for ten thousand callers who leave within a minute.
QUICK_COSTS = CostModel(encode_ms=1, encode_ms_per_token=0.01, step_ms=1, step_ms_per_token=0.02, num_steps=8)
# Of documents as they were read so few are kept that the cache is full within a minute: with the thousand documents of
# this load the default fills for ten, as it may, and hides what leaks.
SMALL = {"engine.kept_chars": 200_000}
# Growth over the second half, whatever its length: what the allocator does by itself. In half an hour at 50 requests a
# second it is 50 bytes a request.
MAX_GROWTH_MB = 2.0
# Connections of the driver that are not torn down yet, files of the log.
SPARE_FILES, SPARE_TASKS = 2, 0
# That a result holds, of all that were taken.
MOST_SAMPLES = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakConfig:
    """`num_cancels` is how many callers leave before their answer."""

    served: ServedConfig
    seconds: float = 300.0
    num_cancels: int = 10_000
    load: float = 0.5
    deadline_ms: float = 1000.0
    # Of finding the capacity, and again of load: what is made at the first calls is there then, and memory counts.
    warm_s: float = 3.0
    seed: int = 1


@dataclass(slots=True, kw_only=True)
class Soaked:
    """What was seen."""

    before: Status
    after: Status
    run: Run
    samples: list[tuple[float, Status]] = field(default_factory=list[tuple[float, Status]])


def soak(config: SoakConfig) -> Soaked:
    """One server, warmed up, under load, left alone, looked at."""
    rows = load_row_file()
    with Served(config.served) as served:
        capacity_qps = find_capacity(served, rows, seconds=config.warm_s)
        drive_apart(_arrivals(config, rows, capacity_qps, config.warm_s), DriverConfig(url=served.url))
        before = _settled(served, None)
        samples: list[tuple[float, Status]] = []
        with _sampling(served, samples):
            run = drive_apart(_arrivals(config, rows, capacity_qps, config.seconds), DriverConfig(url=served.url))
        return Soaked(before=before, after=_settled(served, before), run=run, samples=samples)


def _arrivals(config: SoakConfig, rows: list[EvalRow], capacity_qps: float, seconds: float) -> list[Arrival]:
    stay = RequestClass(name="stay", deadline_ms=config.deadline_ms, cache_policy="bypass")
    # About as long as two answers take: they leave while they wait, are being read, and are being written.
    hurry_ms = min(config.deadline_ms, 2000 / capacity_qps)
    leave = replace(stay, name="leave", cancelled_share=1.0, cancelled_within_ms=hurry_ms)
    stream = replace(leave, name="stream", is_streaming=True)
    leaving = OVERSHOOT * config.num_cancels / config.seconds / capacity_qps
    loads = ((stay, config.load), (leave, leaving / 2), (stream, leaving / 2))
    streams = tuple(Stream(phases=(Load(seconds=seconds, load=load),), kind=kind) for kind, load in loads)
    scenario = Scenario(name="soak", about="", streams=streams)
    return make_arrivals(scenario, rows, capacity_qps=capacity_qps, seed=config.seed)


@contextmanager
def _sampling(served: Served, samples: list[tuple[float, Status]]) -> Iterator[None]:
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_EVERY_S):
            samples.append((time.monotonic(), served.status()))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _settled(served: Served, before: Status | None) -> Status:
    """Its status when nothing runs; or after SETTLE_S, whatever it then is."""
    ends_at = time.monotonic() + SETTLE_S
    last = served.status()
    while time.monotonic() < ends_at:
        time.sleep(0.5)
        status = served.status()
        is_steady = (status.num_tasks, status.num_files) == (last.num_tasks, last.num_files)
        if is_steady and status.num_open == 0 and (before is None or not _left_behind(before, status)):
            return status
        last = status
    return last


def _left_behind(before: Status, after: Status) -> bool:
    files, tasks = after.num_files - before.num_files, after.num_tasks - before.num_tasks
    return files > SPARE_FILES or tasks > SPARE_TASKS


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By least squares: units of y per unit of x; 0 for fewer than two points."""
    if len(points) < 2:
        return 0.0
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def figures_of(soaked: Soaked, config: SoakConfig) -> dict[str, object]:
    """What is reported."""
    sizes = [(at, status.resident_mb) for at, status in soaked.samples]
    second_half = sizes[len(sizes) // 2 :]
    mb_per_s = slope(second_half)
    lasted_s = second_half[-1][0] - second_half[0][0] if second_half else 0.0
    ends = describe(soaked.run.outcomes, config.seconds)
    return {
        "seconds": config.seconds,
        "requests": ends.planned,
        "cancelled": ends.cancelled,
        "failed": ends.failed,
        "late": ends.late,
        "unsent": ends.unsent,
        "rss_mb_before": round(soaked.before.resident_mb, 1),
        "rss_mb_after": round(soaked.after.resident_mb, 1),
        "rss_mb_per_min": round(60 * mb_per_s, 3),
        "rss_mb_second_half": round(mb_per_s * lasted_s, 2),
        "tasks_left": soaked.after.num_tasks - soaked.before.num_tasks,
        "files_left": soaked.after.num_files - soaked.before.num_files,
        "slots_left": soaked.after.num_open,
        "tasks_most": max((status.num_tasks for _, status in soaked.samples), default=0),
        "files_most": max((status.num_files for _, status in soaked.samples), default=0),
        "slots_most": max((status.num_open for _, status in soaked.samples), default=0),
    }


def course_of(samples: Sequence[tuple[float, Status]]) -> list[dict[str, float]]:
    """The samples by seconds after the first, thinned out to about MOST_SAMPLES."""
    every = max(1, math.ceil(len(samples) / MOST_SAMPLES))
    return [{"at_s": round(at - samples[0][0], 1), **asdict(status)} for at, status in samples[::every]]


def missed_bars(figures: dict[str, object], config: SoakConfig) -> list[str]:
    """The bars that are missed, in words."""
    most = {
        "failed": 0,
        "rss_mb_second_half": MAX_GROWTH_MB,
        "tasks_left": SPARE_TASKS,
        "files_left": SPARE_FILES,
        "slots_left": 0,
    }
    found = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    missed = [f"{name} = {found[name]}, at most {bar}" for name, bar in most.items() if found[name] > bar]
    if found["cancelled"] < config.num_cancels:
        missed.append(f"cancelled = {found['cancelled']}, at least {config.num_cancels}")
    return missed


def read_config(args: argparse.Namespace) -> SoakConfig:
    """What the flags ask for."""
    costs = QUICK_COSTS if args.quick or args.simulated else None
    seconds = 60.0 if args.quick else 60.0 * args.minutes
    return SoakConfig(served=ServedConfig(costs=costs, settings=SMALL), seconds=seconds, num_cancels=args.cancels)


def main() -> int:
    """Soak, report, judge."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--minutes", type=float, default=5.0, metavar="M", help="default: 5")
    parser.add_argument("--cancels", type=int, default=10_000, metavar="N", help="default: 10000")
    parser.add_argument("--simulated", action="store_true", help="the simulated model instead of the real one")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG over time; a full run leaves results/soak.png")
    args = parser.parse_args()
    config = read_config(args)
    try:
        soaked = soak(config)
    except QdtsError as fault:
        print(f"soak: {fault}", file=sys.stderr)
        return 2
    figures = figures_of(soaked, config)
    missed = missed_bars(figures, config)
    for bar in missed:
        print(f"missed: {bar}", file=sys.stderr)
    plot = args.plot or (None if args.quick else RESULTS_DIR / "soak.png")
    if plot is not None and can_plot() and soaked.samples:
        save_plot(soaked.before, soaked.samples, plot)
    course = {} if args.quick else {"course": course_of(soaked.samples)}
    finish("soak", args, {**figures, "missed": missed, **course})
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
