"""How a server is -> proto. Reads what its parts say of themselves; changes nothing and waits for nothing."""

import time
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from qdts import __version__
from qdts.service import logs
from qdts.service.caches import Caches
from qdts.service.canary import Canary, Record
from qdts.service.health import Health
from qdts.service.heartbeat import Liveness
from qdts.service.hosting import ModelHost, Swap
from qdts.service.learned import Learned
from qdts.service.reply import Rung
from qdts.service.request import Priority
from qdts.service.serving import Serving
from qdts.v1 import admin_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What there is to be told of."""

    health: Health
    liveness: Liveness
    host: ModelHost
    learned: Learned
    caches: Caches
    canary: Canary | None
    began_at: float = field(default_factory=time.monotonic)


def write_status(parts: Parts) -> pb.GetStatusResponse:
    """All of it."""
    serving = parts.host.serving
    engine = serving.engine if serving is not None else None
    swap = parts.host.last_swap
    return pb.GetStatusResponse(
        state=f"SERVER_STATE_{parts.health.state.name}",
        version=__version__,
        model_version=(serving.version if serving is not None else None) or "",
        uptime_seconds=time.monotonic() - parts.began_at,
        classes=[_class_status(priority, parts.learned, serving) for priority in Priority],
        num_running=engine.num_running if engine is not None else 0,
        concurrency_limit=parts.learned.limit.limit,
        costs=_costs(serving),
        cache=_cache(parts.caches),
        swap=write_swap(swap) if swap is not None else None,
        canary=_canary(parts.canary) if parts.canary is not None else None,
        problem=parts.liveness.problem() or "",
        log_level=f"LOG_LEVEL_{logs.level_now().upper()}",
    )


def write_swap(swap: Swap) -> pb.ModelSwap:
    """A swap as it is now."""
    return pb.ModelSwap(
        number=swap.number,
        model=swap.model or "",
        state=f"SWAP_STATE_{swap.state.name}",
        model_version=swap.version or "",
        problem=swap.problem,
        started_at=_timestamp(swap.started_at),
        ended_at=None if swap.ended_at is None else _timestamp(swap.ended_at),
    )


def _class_status(priority: Priority, learned: Learned, serving: Serving | None) -> pb.ClassStatus:
    engine = serving.engine if serving is not None else None
    pressure = learned.pressures[priority]
    return pb.ClassStatus(
        priority=f"PRIORITY_{priority.name}",
        num_inside=learned.inside[priority],
        num_waiting=engine.num_by_class[priority] if engine is not None else 0,
        pressure_level=pressure.level,
        best_rung=f"RUNG_{pressure.rung.name}",
    )


def _costs(serving: Serving | None) -> list[pb.PredictedCost]:
    if serving is None:
        return []
    return [
        pb.PredictedCost(
            rung=f"RUNG_{Rung(cost.rung).name}",  # its rungs are ours
            max_tokens=cost.size,
            max_batch=cost.batch,
            milliseconds=round(cost.predicted_ms, 3),
            num_times=cost.num_times,
        )
        for cost in serving.ladder.admission.costs.known()
    ]


def _cache(caches: Caches) -> pb.CacheState:
    near, redis = caches.near, caches.redis
    read, write = ("UNSPECIFIED", "UNSPECIFIED") if redis is None else (state.name for state in redis.breakers)
    return pb.CacheState(
        num_entries=0 if near is None else len(near),
        num_bytes=0 if near is None else near.num_bytes,
        redis_read=f"BREAKER_STATE_{read}",
        redis_write=f"BREAKER_STATE_{write}",
    )


def _canary(canary: Canary) -> pb.CanaryStatus:
    return pb.CanaryStatus(
        model=canary.config.model,
        model_version=canary.version or "",
        state=f"CANARY_STATE_{canary.state.name}",
        share=canary.config.share,
        problem=canary.problem,
        canary=_answers(canary.records["canary"]),
        stable=_answers(canary.records["stable"]),
        num_same=canary.agreement["same"],
        num_different=canary.agreement["different"],
    )


def _answers(record: Record) -> pb.Answers:
    return pb.Answers(num_answers=record.num_answers, num_failed=record.num_failed, num_late=record.num_late)


def _timestamp(unix_s: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(round(unix_s * 1e9))
    return stamp
