"""One status of a server of several processes, from what its fronts say of themselves.

What a front counts itself is summed. What it sees of the engines (who runs and waits there, and how many may) is the
same for all of them, each at its own moment: of that the highest.
"""

from collections.abc import Sequence

from qdts.service.request import Priority
from qdts.v1 import admin_pb2 as pb
from qdts.v1.summarization_pb2 import RUNG_UNSPECIFIED

Statuses = Sequence[pb.GetStatusResponse]


def merge(fronts: Statuses) -> pb.GetStatusResponse:
    """Of calls, costs and caches; all 0 where no front has said anything."""
    return pb.GetStatusResponse(
        classes=[_class_status(priority, fronts) for priority in Priority],
        num_running=max((each.num_running for each in fronts), default=0),
        concurrency_limit=max((each.concurrency_limit for each in fronts), default=0),
        costs=_costs(fronts),
        cache=_cache(fronts),
    )


def _class_status(priority: Priority, fronts: Statuses) -> pb.ClassStatus:
    number = pb.ClassStatus(priority=f"PRIORITY_{priority.name}").priority
    of_class = [each for front in fronts for each in front.classes if each.priority == number]
    return pb.ClassStatus(
        priority=number,
        num_inside=sum(each.num_inside for each in of_class),
        num_waiting=max((each.num_waiting for each in of_class), default=0),
        pressure_level=max((each.pressure_level for each in of_class), default=0),
        best_rung=max((each.best_rung for each in of_class), default=RUNG_UNSPECIFIED),  # numbered from the best down
    )


def _costs(fronts: Statuses) -> list[pb.PredictedCost]:
    """For each cell that of the front that knows most times, of the slower one where they know as many."""
    found: dict[tuple[int, int, int], pb.PredictedCost] = {}
    for cost in (cost for front in fronts for cost in front.costs):
        cell = (cost.rung, cost.max_tokens, cost.max_batch)
        best = found.setdefault(cell, cost)
        if (cost.num_times, cost.milliseconds) > (best.num_times, best.milliseconds):
            found[cell] = cost
    return [found[cell] for cell in sorted(found)]


def _cache(fronts: Statuses) -> pb.CacheState:
    caches = [each.cache for each in fronts]
    # Breakers are numbered from "there is none" to "open".
    return pb.CacheState(
        num_entries=sum(each.num_entries for each in caches),
        num_bytes=sum(each.num_bytes for each in caches),
        redis_read=max((each.redis_read for each in caches), default=pb.BREAKER_STATE_UNSPECIFIED),
        redis_write=max((each.redis_write for each in caches), default=pb.BREAKER_STATE_UNSPECIFIED),
    )
