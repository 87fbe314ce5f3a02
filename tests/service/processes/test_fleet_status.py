"""Several fronts' status as one: sums of what is each one's own, the worst of what is a state."""

from qdts.service.processes.fleet_status import merge
from qdts.v1 import admin_pb2 as pb
from qdts.v1 import summarization_pb2 as calls_pb

FULL, SHORTER, PASSAGES = calls_pb.RUNG_FULL, calls_pb.RUNG_SHORTER, calls_pb.RUNG_PASSAGES


def of_class(priority: int, inside: int, waiting: int, level: int, rung: int) -> pb.ClassStatus:
    return pb.ClassStatus(
        priority=priority,  # type: ignore[arg-type]
        num_inside=inside,
        num_waiting=waiting,
        pressure_level=level,
        best_rung=rung,  # type: ignore[arg-type]
    )


def test_each_fronts_own_is_summed_and_of_the_engines_the_highest_is_told() -> None:
    fronts = [
        pb.GetStatusResponse(
            classes=[of_class(1, 3, 5, 0, FULL), of_class(2, 1, 0, 1, SHORTER)], num_running=4, concurrency_limit=70
        ),
        pb.GetStatusResponse(
            classes=[of_class(2, 2, 0, 0, FULL), of_class(1, 4, 6, 2, PASSAGES)], num_running=3, concurrency_limit=80
        ),
    ]
    merged = merge(fronts)
    assert [*merged.classes] == [
        of_class(1, 7, 6, 2, PASSAGES),
        of_class(2, 3, 0, 1, SHORTER),
        of_class(3, 0, 0, 0, calls_pb.RUNG_UNSPECIFIED),
    ]
    assert (merged.num_running, merged.concurrency_limit) == (4, 80)


def test_costs_are_of_who_knows_most_of_each_cell() -> None:
    def cost(tokens: int, ms: float, times: int) -> pb.PredictedCost:
        return pb.PredictedCost(rung=FULL, max_tokens=tokens, max_batch=1, milliseconds=ms, num_times=times)

    fronts = [
        pb.GetStatusResponse(costs=[cost(512, 50, 1), cost(256, 20, 9)]),
        pb.GetStatusResponse(costs=[cost(256, 30, 8), cost(512, 40, 2), cost(1024, 90, 0)]),
        pb.GetStatusResponse(costs=[cost(1024, 95, 0)]),
    ]
    assert [*merge(fronts).costs] == [cost(256, 20, 9), cost(512, 40, 2), cost(1024, 95, 0)]


def test_caches_are_summed_and_the_worst_breaker_is_told() -> None:
    states = [pb.BREAKER_STATE_CLOSED, pb.BREAKER_STATE_OPEN, pb.BREAKER_STATE_HALF_OPEN]
    fronts = [
        pb.GetStatusResponse(
            cache=pb.CacheState(num_entries=2, num_bytes=1 << 40, redis_read=state, redis_write=pb.BREAKER_STATE_CLOSED)
        )
        for state in states
    ]
    assert merge(fronts).cache == pb.CacheState(
        num_entries=6, num_bytes=3 << 40, redis_read=pb.BREAKER_STATE_OPEN, redis_write=pb.BREAKER_STATE_CLOSED
    )


def test_no_front_says_anything() -> None:
    merged = merge([])
    assert [each.priority for each in merged.classes] == [1, 2, 3]
    assert not merged.num_running and not merged.costs and merged.cache == pb.CacheState()
