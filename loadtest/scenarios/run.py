"""Runs a scenario: the load from a process of its own, health and faults from this one."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from qdts.loadtest.scenarios.bars import Counts, ServerFigures
from qdts.loadtest.scenarios.config import Scenario, Stream, make_arrivals
from qdts.loadtest.scenarios.faults import Redis, breaking
from qdts.loadtest.scenarios.health import HealthWatch
from qdts.loadtest.simulation.journal import StepFigures, count_steps
from qdts.loadtest.simulation.server import Served
from qdts.models.evaluation.rows import EvalRow
from qdts.service.bench.apart import drive_apart
from qdts.service.bench.curve import CurveConfig, measure_capacity
from qdts.service.bench.driver import DriverConfig, Run
from qdts.service.bench.figures import Figures, describe, percentile, recovery_s
from qdts.service.bench.workload import RequestClass


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamResult:
    """One class of requests: its figures, and which bars it misses."""

    figures: Figures
    recovery_s: float
    missed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A scenario's end."""

    name: str
    figures: Figures  # of all classes together
    by_class: dict[str, StreamResult]
    steps: StepFigures
    server: ServerFigures
    server_missed: tuple[str, ...]
    run: Run

    @property
    def missed(self) -> list[str]:
        """All bars that were missed."""
        by_class = [f"{self.name}: {name}: {bar}" for name, one in self.by_class.items() for bar in one.missed]
        return [*by_class, *(f"{self.name}: server: {bar}" for bar in self.server_missed)]

    def to_json(self) -> dict[str, object]:
        """Without the outcomes themselves."""
        return {
            "figures": asdict(self.figures),
            "by_class": {name: asdict(one) for name, one in self.by_class.items()},
            "steps": asdict(self.steps),
            "server": asdict(self.server),
            "is_reliable": self.figures.is_reliable,
            "missed": self.missed,
        }


def run_scenario(
    scenario: Scenario,
    served: Served,
    rows: list[EvalRow],
    *,
    capacity_qps: float,
    seed: int = 1,
    redis: Redis | None = None,
) -> Result:
    """Blocks for as long as it lasts. The requests are numbered, so that each step can be told whose it was."""
    arrivals = make_arrivals(scenario, rows, capacity_qps=capacity_qps, seed=seed, is_numbered=_bypasses(scenario))
    served.take_steps()
    before = Counts(served)
    with ExitStack() as meanwhile:
        health = meanwhile.enter_context(HealthWatch(served.url))
        meanwhile.enter_context(breaking(redis, scenario.fault))
        run = drive_apart(arrivals, DriverConfig(url=served.url))
    health_p99_ms = round(1000 * (percentile(health.took_s, 0.99) or 0.0), 2)
    server = Counts(served).since(before, health_p99_ms=health_p99_ms, health_bad=health.num_bad)
    steps = count_steps(served.take_steps(), run)
    return Result(
        name=scenario.name,
        figures=describe(run.outcomes, scenario.seconds),
        by_class={stream.kind.name: _describe_stream(stream, run) for stream in scenario.streams},
        steps=steps,
        server=server,
        server_missed=scenario.bars.missed(server, steps),
        run=run,
    )


def find_capacity(served: Served, rows: Sequence[EvalRow], *, seconds: float, seed: int = 1) -> float:
    """Undegraded answers per second that this server can give."""
    kinds = (RequestClass(cache_policy="bypass"),)
    driver = DriverConfig(url=served.url)
    return measure_capacity(rows, CurveConfig(driver=driver, classes=kinds, capacity_seconds=seconds, seed=seed))


def _bypasses(scenario: Scenario) -> bool:
    """Whether no request may share another's answer: only then may each have a query of its own."""
    return all(stream.kind.cache_policy == "bypass" for stream in scenario.streams)


def _describe_stream(stream: Stream, run: Run) -> StreamResult:
    outcomes = [outcome for outcome in run.outcomes if outcome.kind == stream.kind.name]
    figures, recovered_s = describe(outcomes, stream.seconds), recovery_s(outcomes, stream.rises_at_s)
    missed = stream.bars.missed(figures, recovered_s)
    return StreamResult(figures=figures, recovery_s=recovered_s, missed=missed)
