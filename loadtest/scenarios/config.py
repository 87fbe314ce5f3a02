"""A scenario file as data. Loads are multiples of the server's capacity, so one file fits every machine."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qdts.errors import ConfigError
from qdts.loadtest.scenarios.bars import Bars, ServerBars
from qdts.models.evaluation.rows import EvalRow
from qdts.service.bench.arrivals import ArrivalConfig, Phase, arrival_times
from qdts.service.bench.workload import Arrival, PopularityConfig, RequestClass, Workload
from qdts.service.config import Value
from qdts.service.limits import require_between

DIRECTORY = Path(__file__).resolve().parent
PIECES_PER_PERIOD = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """So many seconds at a multiple of capacity; with a swing the load goes up and down like a sine, from its mean up.

    `swing` is a share of the load, `period_s` how long it takes to be where it was.
    """

    seconds: float
    load: float
    swing: float = 0.0
    period_s: float = 1.0

    def __post_init__(self) -> None:
        require_between("phase.swing", self.swing, 0, 1)
        require_between("phase.period_s", self.period_s, 0.1, 86_400)

    def phases(self, capacity_qps: float) -> Iterator[Phase]:
        """As phases of one rate each: a swing is cut finely enough to be smooth."""
        num_pieces = max(1, math.ceil(self.seconds / self.period_s * PIECES_PER_PERIOD)) if self.swing else 1
        for piece in range(num_pieces):
            middle_s = (piece + 0.5) * self.seconds / num_pieces
            load = self.load * (1 + self.swing * math.sin(2 * math.pi * middle_s / self.period_s))
            yield Phase(seconds=self.seconds / num_pieces, rate=load * capacity_qps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Requests of one class, with a load of their own."""

    phases: tuple[Load, ...]
    kind: RequestClass = field(default_factory=RequestClass)
    bars: Bars = field(default_factory=Bars)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def rises_at_s(self) -> float:
        """When its load last rises; 0 where it never does."""
        rises_at_s, at_s = 0.0, 0.0
        for before, after in zip(self.phases, self.phases[1:], strict=False):
            at_s += before.seconds
            rises_at_s = at_s if after.load > before.load else rises_at_s
        return rises_at_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What breaks, from when on, for how long."""

    kind: Literal["redis-killed", "redis-stopped"]
    at_s: float
    for_s: float

    def __post_init__(self) -> None:
        if self.kind not in ("redis-killed", "redis-stopped"):
            raise ConfigError(f"fault.kind = {self.kind!r}: must be redis-killed or redis-stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The whole story. `settings` are the server's, by name."""

    name: str
    about: str
    streams: tuple[Stream, ...]
    arrivals: ArrivalConfig = field(default_factory=ArrivalConfig)
    popularity: PopularityConfig = field(default_factory=PopularityConfig)
    settings: Mapping[str, Value] = field(default_factory=dict[str, Value])
    fault: Fault | None = None
    bars: ServerBars = field(default_factory=ServerBars)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return max(stream.seconds for stream in self.streams)


def names() -> list[str]:
    """The scenarios that ship."""
    return sorted(path.stem for path in DIRECTORY.glob("*.toml"))


def load_scenario(name: str) -> Scenario:
    """A scenario by its name, or by the path of its file; ConfigError naming what is wrong with it."""
    path = DIRECTORY / f"{name}.toml" if name in names() else Path(name)
    if not path.is_file():
        raise ConfigError(f"scenario {name}: is none of {', '.join(names())} and no file")
    try:
        return _scenario(path.stem, tomllib.loads(path.read_text(encoding="utf-8")))
    except (TypeError, KeyError, AttributeError, tomllib.TOMLDecodeError) as fault:
        raise ConfigError(f"{path}: {fault}") from fault


def make_arrivals(
    scenario: Scenario, rows: list[EvalRow], *, capacity_qps: float, seed: int = 1, is_numbered: bool = False
) -> list[Arrival]:
    """All streams' arrivals, in the order of their times."""
    merged: list[Arrival] = []
    for place, stream in enumerate(scenario.streams):
        phases = [phase for one in stream.phases for phase in one.phases(capacity_qps)]
        workload = Workload(rows, [stream.kind], scenario.popularity)
        merged += workload.arrivals(arrival_times(phases, scenario.arrivals, seed + place), seed + place)
    merged.sort(key=lambda arrival: arrival.at_s)
    return [_renumbered(arrival, number, is_numbered) for number, arrival in enumerate(merged)]


def _renumbered(arrival: Arrival, number: int, is_numbered: bool) -> Arrival:
    query = f"{arrival.request.query} #{number}" if is_numbered else arrival.request.query
    return replace(arrival, number=number, request=replace(arrival.request, query=query))


def _scenario(name: str, content: dict[str, Any]) -> Scenario:
    fault = content.pop("fault", None)
    return Scenario(
        name=name,
        streams=tuple(_stream(stream) for stream in content.pop("streams")),
        arrivals=ArrivalConfig(**content.pop("arrivals", {})),
        popularity=PopularityConfig(**content.pop("popularity", {})),
        settings=content.pop("settings", {}),
        fault=Fault(**fault) if fault else None,
        bars=ServerBars(**content.pop("bars", {})),
        **content,
    )


def _stream(content: dict[str, Any]) -> Stream:
    return Stream(
        phases=tuple(Load(**phase) for phase in content.pop("phases")),
        kind=RequestClass(**content.pop("class", {})),
        bars=Bars(**content.pop("bars", {})),
        **content,
    )
