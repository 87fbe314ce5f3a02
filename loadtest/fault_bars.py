"""What must hold while Redis breaks and processes end; each bar can be missed, and is named with what was measured."""

from collections.abc import Iterator, Mapping
from typing import Any

from qdts.loadtest.redis_faults import OPENING
from qdts.service.redis.config import RedisConfig

# Of two servers each may have begun before it knew of the other.
AT_MOST = {
    "failed_rpcs": 0,
    "model_calls_for_1000_misses": 1,
    "model_calls_for_1000_misses_on_two_servers": 2,
    "model_calls_for_1000_misses_on_two_processes": 2,
    "stale_hits_after_version_change": 0,
}
BUDGET_MS = RedisConfig().budget_ms


def missed_bars(figures: Mapping[str, object]) -> list[str]:
    """Those that are, in words."""
    missed = [
        f"{name} = {figures[name]}, at most {bar}" for name, bar in AT_MOST.items() if int(str(figures[name])) > bar
    ]
    rows: Any = figures["by_fault"]
    return [*missed, *(f"{name}: {problem}" for name, row in rows.items() for problem in problems(name, row))]


def problems(name: str, row: Mapping[str, Any]) -> Iterator[str]:
    """Of one fault, failed calls aside. Rows of Redis' faults and of processes' have figures of their own."""
    if "breaker_opened" in row:
        yield from _problems_of_redis(name, row)
    else:
        yield from _problems_of_processes(row)


def _problems_of_redis(name: str, row: Mapping[str, Any]) -> Iterator[str]:
    if row["breaker_closed_after_s"] is None:
        yield "breaker still open"
    if name in OPENING and not row["breaker_opened"]:
        yield "no breaker opened"
    # Load and server share an event loop: by so much as that is late, who waits is told late that the budget is over.
    allowed_ms = BUDGET_MS + row["loop_late_ms_p99"]
    if (added_ms := row["request_added_ms_p99_but_opening"]) > allowed_ms:
        yield f"request_added_ms_p99_but_opening = {added_ms:.4g}, at most {allowed_ms:.4g}"


def _problems_of_processes(row: Mapping[str, Any]) -> Iterator[str]:
    if row["whole_after_s"] is None:
        yield "not whole again"
    if row["late"]:
        yield f"late = {row['late']}, at most 0"
