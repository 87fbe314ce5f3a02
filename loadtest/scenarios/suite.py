"""Scenarios one by one, each on a server of its own with the scenario's settings and, if it breaks Redis, a Redis.

Where a bar is missed while requests were not sent at their time, the scenario is run again, once: that says nothing
about the server. A result that stays so is reported as unreliable.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from qdts.loadtest.scenarios.bars import cache_share
from qdts.loadtest.scenarios.config import Scenario, load_scenario
from qdts.loadtest.scenarios.faults import redis_running
from qdts.loadtest.scenarios.run import Result, StreamResult, find_capacity, run_scenario
from qdts.loadtest.simulation.server import Served, ServedConfig
from qdts.models.evaluation.samples import load_row_file

ATTEMPTS = 2
_HEAD = ("scenario", "class", "load", "offered/s", "attained", "by the model", "cached", "p99/SLO", "recovery s")
_HEAD += ("rung changes", "health p99 ms", "missed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteConfig:
    """Where the scenarios' requests go; capacity is measured for so long, on each server."""

    served: ServedConfig
    capacity_seconds: float = 3.0
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One scenario's end, and how often it was run."""

    scenario: Scenario
    capacity_qps: float
    result: Result
    attempts: int = 1

    def to_json(self) -> dict[str, object]:
        """All figures."""
        head = {"scenario": self.scenario.name, "capacity_qps": self.capacity_qps, "attempts": self.attempts}
        return {**head, **self.result.to_json()}


def run_one(name: str, config: SuiteConfig) -> Ran:
    """A scenario by its name or file; ConfigError where it needs a Redis that is not installed."""
    scenario = load_scenario(name)
    ran = _run(scenario, config)
    for attempt in range(2, ATTEMPTS + 1):
        if not ran.result.missed or ran.result.figures.is_reliable:
            break
        ran = replace(_run(scenario, config), attempts=attempt)
    return ran


def _run(scenario: Scenario, config: SuiteConfig) -> Ran:
    rows = load_row_file()
    with ExitStack() as running:
        redis = running.enter_context(redis_running()) if scenario.fault is not None else None
        settings = {key: redis.fill_in(value) if redis else value for key, value in scenario.settings.items()}
        served_config = replace(config.served, settings={**config.served.settings, **settings})
        served = running.enter_context(Served(served_config))
        capacity_qps = find_capacity(served, rows, seconds=config.capacity_seconds, seed=config.seed)
        result = run_scenario(scenario, served, rows, capacity_qps=capacity_qps, seed=config.seed, redis=redis)
    return Ran(scenario=scenario, capacity_qps=capacity_qps, result=result)


def figures_of(all_ran: Sequence[Ran]) -> dict[str, object]:
    """One object: what was missed, and by whom; then all figures by scenario."""
    return {
        "missed": [bar for ran in all_ran for bar in ran.result.missed],
        "missed_by_scenario": {ran.scenario.name: ran.result.missed for ran in all_ran},
        "is_reliable": is_reliable(all_ran),
        "scenarios": {ran.scenario.name: ran.to_json() for ran in all_ran},
    }


def is_reliable(all_ran: Iterable[Ran]) -> bool:
    """Whether any bar was missed in a run that says something about the server; True where none was missed."""
    missed = [ran for ran in all_ran if ran.result.missed]
    return not missed or any(ran.result.figures.is_reliable for ran in missed)


def to_markdown(all_ran: Sequence[Ran]) -> str:
    """A line per scenario and class."""
    rows = [_row(ran, name, one) for ran in all_ran for name, one in ran.result.by_class.items()]
    lines = [_HEAD, ("---",) * 2 + ("---:",) * (len(_HEAD) - 3) + ("---",), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(ran: Ran, name: str, one: StreamResult) -> tuple[str, ...]:
    figures, server = one.figures, ran.result.server
    return (
        ran.scenario.name,
        name,
        f"{figures.offered_qps / ran.capacity_qps:.2f}x",
        f"{figures.offered_qps:.1f}",
        f"{figures.attainment:.1%}",
        f"{figures.model_share:.1%}",
        f"{cache_share(figures):.1%}",
        f"{figures.accepted_p99_over_slo or 0.0:.2f}",
        f"{one.recovery_s:.2f}",
        str(server.rung_changes),
        f"{server.health_p99_ms:.1f}",
        "; ".join([*one.missed, *(f"server: {bar}" for bar in ran.result.server_missed)]) or "-",
    )
