"""When requests arrive, decided before the first is sent: no answer, slow or fast, moves the next arrival.

A process is made by stretching time: arrivals at rate 1 on a clock that runs as fast as the rate of the moment.
Poisson arrivals on that clock are Poisson arrivals of that rate, whatever its phases (the time change of an
inhomogeneous Poisson process); bursts are a rate that is switched on and off at random (a two-state MMPP).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from qdts.service.limits import require_between

ProcessName = Literal["constant", "poisson", "bursty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """So many seconds at so many arrivals per second, on average."""

    seconds: float
    rate: float

    def __post_init__(self) -> None:
        require_between("phase.seconds", self.seconds, 0, 86_400)
        require_between("phase.rate", self.rate, 0, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalConfig:
    """A burst lasts `burst_s` on average and holds `burst_share` of the time; between bursts nothing arrives."""

    process: ProcessName = "poisson"
    burst_s: float = 0.5
    burst_share: float = 0.25

    def __post_init__(self) -> None:
        require_between("arrivals.burst_s", self.burst_s, 0.001, 3600)
        require_between("arrivals.burst_share", self.burst_share, 0.01, 1)


def arrival_times(phases: Sequence[Phase], config: ArrivalConfig, seed: int) -> list[float]:
    """Seconds after the start, in order. The same ones for the same seed."""
    random = Random(seed)
    segments = _bursts(phases, config, random) if config.process == "bursty" else iter(phases)
    ticks = _even() if config.process == "constant" else _exponential(random)
    return list(_stretched(segments, ticks))


def _even() -> Iterator[float]:
    """The middle of each unit of time: as many arrivals as the rate says, none at the very start or end."""
    tick = 0.5
    while True:
        yield tick
        tick += 1


def _exponential(random: Random) -> Iterator[float]:
    tick = 0.0
    while True:
        tick += random.expovariate(1)
        yield tick


def _stretched(segments: Iterator[Phase], ticks: Iterator[float]) -> Iterator[float]:
    """Where the rate, added up over the segments, reaches each tick."""
    starts_at, reached = 0.0, 0.0
    tick = next(ticks)
    for segment in segments:
        reaches = reached + segment.seconds * segment.rate
        while tick < reaches:
            yield starts_at + (tick - reached) / segment.rate
            tick = next(ticks)
        starts_at, reached = starts_at + segment.seconds, reaches


def _bursts(phases: Sequence[Phase], config: ArrivalConfig, random: Random) -> Iterator[Phase]:
    """The phases cut into bursts and pauses; the mean rate of a phase stays."""
    mean_s = {True: config.burst_s, False: config.burst_s * (1 / config.burst_share - 1)}
    is_on = random.random() < config.burst_share
    left_s = _lasts(mean_s[is_on], random)
    for phase in phases:
        to_go_s = phase.seconds
        while to_go_s > 0:
            seconds = min(left_s, to_go_s)
            yield Phase(seconds=seconds, rate=phase.rate / config.burst_share if is_on else 0.0)
            to_go_s, left_s = to_go_s - seconds, left_s - seconds
            if left_s <= 0:
                is_on = not is_on
                left_s = _lasts(mean_s[is_on], random)


def _lasts(mean_s: float, random: Random) -> float:
    return random.expovariate(1 / mean_s) if mean_s > 0 else 0.0
