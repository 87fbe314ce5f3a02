"""Processes of a server die or are replaced under load, which arrives by an open loop: what calls got, for how long.

Nothing is sent twice. A process that is killed takes with it the calls that were on its connections: those are told
from all others, which may not fail.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qdts.models.evaluation.samples import load_row_file
from qdts.service.bench.arrivals import ArrivalConfig, Phase, arrival_times
from qdts.service.bench.driver import DriverConfig, Run, drive
from qdts.service.bench.figures import describe, percentile
from qdts.service.bench.outcome import Outcome
from qdts.service.bench.workload import RequestClass, Workload

LOOK_EVERY_S = 0.05
PATIENCE_S = 60.0
KIND = RequestClass(name="open", tier="generative", cache_policy="bypass", deadline_ms=2000)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """The load: `before_s` of it come before the disruption."""

    seconds: float = 30.0
    before_s: float = 5.0
    rate_per_s: float = 60.0
    num_connections: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Disruption:
    """`begin` returns at once; `is_whole` says whether everything is there again. Both may block for a moment."""

    begin: Callable[[], None]
    is_whole: Callable[[], bool]
    takes_its_calls: bool = False  # whether calls that are on what dies die, too


async def disrupt(disruption: Disruption, driver: DriverConfig, config: TrialConfig) -> dict[str, object]:
    """Figures of the disruption, on a server that runs. What kept the load or it from going on is raised."""
    times = arrival_times([Phase(seconds=config.seconds, rate=config.rate_per_s)], ArrivalConfig(), seed=1)
    arrivals = Workload(load_row_file(), [KIND]).arrivals(times, seed=1)
    has_begun = asyncio.Event()

    async def begin() -> float:
        has_begun.set()
        return time.monotonic()

    driving = asyncio.ensure_future(drive(arrivals, driver, begin))
    beginning = asyncio.ensure_future(has_begun.wait())
    await asyncio.wait({driving, beginning}, return_when=asyncio.FIRST_COMPLETED)
    if driving.done():
        beginning.cancel()
        driving.result()  # raises what kept it from beginning
    await asyncio.sleep(config.before_s)
    struck_at = time.monotonic()
    await asyncio.to_thread(disruption.begin)
    whole_after_s = await _until_whole(disruption, struck_at)
    run = await driving
    struck_s = struck_at - run.started_at
    lost = lost_with_connections(run.outcomes, struck_s, driver.num_connections) if disruption.takes_its_calls else None
    return {"whole_after_s": whole_after_s, **figures_of(run, struck_s, lost)}


def figures_of(run: Run, struck_s: float, lost: "Lost | None" = None) -> dict[str, object]:
    """What calls got. Whatever ended other than OK has failed, refused and expired calls, too, unless it was `lost`."""
    figures = describe(run.outcomes, 1)
    after = [outcome for outcome in run.outcomes if outcome.ended_s >= struck_s]
    before = [outcome for outcome in run.outcomes if outcome.ended_s < struck_s]
    failed = [outcome for outcome in run.outcomes if outcome.is_sent and outcome.code != "OK"]
    p99_before, p99_after = (percentile([one.latency_s for one in part], 0.99) or 0.0 for part in (before, after))
    degraded_s = [one.planned_s - struck_s for one in after if not one.is_good_by_model]
    return {
        "requests": len(run.outcomes),
        "failed_rpcs": len(failed) - (lost.num_lost if lost else 0),
        **(lost.to_json() if lost else {}),
        "late": figures.late,
        "unsent": figures.unsent,
        "rungs": figures.rungs,
        "codes": figures.codes,
        "p99_ms_before": round(1000 * p99_before, 1),
        "added_ms_p99": round(1000 * (p99_after - p99_before), 1),
        # Until the last request that the model did not answer: 0 where it answered all of them.
        "model_back_after_s": round(max(0.0, max(degraded_s, default=0.0)), 2),
        "sending_lag_p99_ms": figures.sending_lag_p99_ms,
        "is_reliable": figures.is_reliable,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Connections that broke; calls that were on them then, and how many of those were lost."""

    num_connections: int
    num_in_flight: int
    num_lost: int

    def to_json(self) -> dict[str, object]:
        """As figures."""
        return {
            "connections_lost": self.num_connections,
            "in_flight_there": self.num_in_flight,
            "lost_in_flight": self.num_lost,
        }


def lost_with_connections(outcomes: Sequence[Outcome], struck_s: float, num_connections: int) -> Lost:
    """Calls go over the connections in turn, so a call's number names its own.

    A connection's loss is noticed by the first call that fails on it. What was sent before that and had not ended when
    the process died was in flight there; whatever fails later has no such excuse.
    """
    num_broken, in_flight = 0, list[Outcome]()
    for place in range(num_connections):
        its_own = [outcome for outcome in outcomes[place::num_connections] if outcome.ended_s >= struck_s]
        noticed_s = min((one.ended_s for one in its_own if one.code == "UNAVAILABLE"), default=None)
        if noticed_s is not None:
            num_broken += 1
            in_flight += [one for one in its_own if one.sent_s <= noticed_s]
    num_lost = sum(one.code == "UNAVAILABLE" for one in in_flight)
    return Lost(num_connections=num_broken, num_in_flight=len(in_flight), num_lost=num_lost)


async def _until_whole(disruption: Disruption, struck_at: float) -> float | None:
    """Seconds since it was struck; None: not in time."""
    while (passed_s := time.monotonic() - struck_at) < PATIENCE_S:
        if await asyncio.to_thread(disruption.is_whole):
            return round(passed_s, 2)
        await asyncio.sleep(LOOK_EVERY_S)
    return None
