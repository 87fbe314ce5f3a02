"""A server's goodput curve: one open-loop run per rate, as multiples of a capacity that is measured first."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from random import Random

from qdts.errors import ConfigError, QdtsError
from qdts.models.evaluation.rows import EvalRow
from qdts.service.bench.apart import drive_apart
from qdts.service.bench.arrivals import ArrivalConfig, Phase, arrival_times
from qdts.service.bench.driver import DriverConfig
from qdts.service.bench.figures import Figures, describe
from qdts.service.bench.workload import PopularityConfig, RequestClass, Workload
from qdts.service.client.aio import AsyncClient
from qdts.service.client.retry import RetryPolicy
from qdts.service.limits import require_between

CAPACITY_TIMEOUT_S = 30.0
MULTIPLES = (0.5, 0.8, 1.0, 1.5, 2.0, 5.0, 10.0)

OnPoint = Callable[["Point"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveConfig:
    """Points at `rates`, or at MULTIPLES of the measured capacity where none are given."""

    driver: DriverConfig
    classes: tuple[RequestClass, ...] = (RequestClass(cache_policy="bypass"),)
    popularity: PopularityConfig = field(default_factory=PopularityConfig)
    arrivals: ArrivalConfig = field(default_factory=ArrivalConfig)
    rates: tuple[float, ...] = ()
    multiples: tuple[float, ...] = MULTIPLES
    seconds: float = 10.0  # of each point
    capacity_seconds: float = 5.0
    capacity_width: int = 16  # requests in flight while capacity is measured
    seed: int = 1
    is_numbered: bool = False

    def __post_init__(self) -> None:
        require_between("bench.seconds", self.seconds, 0.1, 86_400)
        require_between("bench.capacity_seconds", self.capacity_seconds, 0.1, 3600)
        require_between("bench.capacity_width", self.capacity_width, 1, 10_000)
        for rate in (*self.rates, *self.multiples):
            require_between("bench.rate", rate, 0.001, 1_000_000)
        if not self.rates and not self.multiples:
            raise ConfigError("bench: needs rates, or multiples of capacity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run: requests per second that were asked for, and what came of them."""

    rate: float
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points by rising rate. `capacity_qps` is None where the rates were given and capacity was not measured."""

    capacity_qps: float | None
    deadline_ms: float  # the shortest of the classes'
    seconds: float
    process: str
    points: tuple[Point, ...]

    def to_json(self) -> dict[str, object]:
        """The whole of it, for a file that planner.py reads."""
        return asdict(self)


def measure_curve(rows: Sequence[EvalRow], config: CurveConfig, on_point: OnPoint = lambda point: None) -> Curve:
    """Measure; blocks for about as long as the points take together."""
    asyncio.run(_greet(config.driver))
    capacity_qps = None if config.rates else measure_capacity(rows, config)
    rates = sorted(config.rates or [multiple * (capacity_qps or 0.0) for multiple in config.multiples])
    points: list[Point] = []
    for number, rate in enumerate(rates):
        points.append(measure_point(rows, config, rate, seed=config.seed + number))
        on_point(points[-1])
    return Curve(
        capacity_qps=capacity_qps,
        deadline_ms=min(kind.deadline_ms for kind in config.classes),
        seconds=config.seconds,
        process=config.arrivals.process,
        points=tuple(points),
    )


def measure_point(rows: Sequence[EvalRow], config: CurveConfig, rate: float, *, seed: int) -> Point:
    """One run at one rate."""
    times = arrival_times([Phase(seconds=config.seconds, rate=rate)], config.arrivals, seed)
    workload = Workload(rows, config.classes, config.popularity, is_numbered=config.is_numbered)
    run = drive_apart(workload.arrivals(times, seed), config.driver)
    return Point(rate=rate, figures=describe(run.outcomes, config.seconds))


def measure_capacity(rows: Sequence[EvalRow], config: CurveConfig) -> float:
    """Undegraded answers per second when there is always a next request: what a rate of "1x" means."""
    answered = asyncio.run(_saturate(rows, config))
    if not answered:
        raise ConfigError(f"bench: no undegraded answer in {config.capacity_seconds:g} s; name rates instead")
    return answered / config.capacity_seconds


async def _greet(driver: DriverConfig) -> None:
    """Nobody there, or a token that is not taken, is an error and not a curve of failures.

    A first connection that a busy machine breaks off is neither.
    """
    patient = replace(driver.client, timeout_s=CAPACITY_TIMEOUT_S, retry=RetryPolicy(max_attempts=10))
    async with AsyncClient(driver.url, patient) as client:
        await client.server_info()


async def _saturate(rows: Sequence[EvalRow], config: CurveConfig) -> int:
    # Closed loop on purpose: throughput is asked for, not latency.
    patient = replace(config.driver.client, timeout_s=CAPACITY_TIMEOUT_S, retry=RetryPolicy(max_attempts=1))
    workload = Workload(rows, config.classes, config.popularity)
    random, num_answered = Random(config.seed), 0
    await _greet(config.driver)
    async with AsyncClient(config.driver.url, patient) as client:
        ends_at = time.monotonic() + config.capacity_seconds

        async def ask_on() -> None:
            nonlocal num_answered
            while time.monotonic() < ends_at:
                [arrival] = workload.arrivals([0.0], seed=random.randrange(1 << 30))
                asked = arrival.request
                try:
                    reply = await client.summarize(
                        asked.query, asked.document, tier=asked.tier, cache_policy=asked.cache_policy
                    )
                except QdtsError:
                    await asyncio.sleep(0.01)
                    continue
                num_answered += not reply.degrade_reasons and time.monotonic() < ends_at

        await asyncio.gather(*(ask_on() for _ in range(config.capacity_width)))
    return num_answered
