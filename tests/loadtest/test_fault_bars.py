"""Every bar of faults.py can be missed, and is named with what was measured."""

from typing import Any

import pytest

from qdts.loadtest.fault_bars import AT_MOST, missed_bars
from qdts.loadtest.fault_trial import of_shares

REDIS = {
    "breaker_opened": 2,
    "breaker_closed_after_s": 0.1,
    "request_added_ms_p99_but_opening": 5.5,
    "loop_late_ms_p99": 1.0,
}
PROCESSES = {"whole_after_s": 1.5, "late": 0}


def figures(**rows: Any) -> dict[str, object]:
    return {**AT_MOST, "by_fault": rows}


@pytest.mark.parametrize("name", [*AT_MOST])
def test_each_count_can_be_missed(name: str) -> None:
    good = figures(slow=REDIS, hot_swap=PROCESSES)
    assert missed_bars(good) == []
    assert missed_bars(good | {name: 7}) == [f"{name} = 7, at most {AT_MOST[name]}"]


@pytest.mark.parametrize(
    ("name", "row", "problem"),
    [
        ("slow", REDIS | {"breaker_closed_after_s": None}, "slow: breaker still open"),
        ("killed", REDIS | {"breaker_opened": 0}, "killed: no breaker opened"),
        (
            "none",
            REDIS | {"request_added_ms_p99_but_opening": 6.1},
            "none: request_added_ms_p99_but_opening = 6.1, at most 6",
        ),
        ("engine_killed", PROCESSES | {"whole_after_s": None}, "engine_killed: not whole again"),
        ("renewal", PROCESSES | {"late": 2}, "renewal: late = 2, at most 0"),
    ],
)
def test_what_a_fault_may_not_do_is_named(name: str, row: dict[str, Any], problem: str) -> None:
    assert missed_bars(figures(**{name: row})) == [problem]


def test_a_healthy_redis_need_not_open_a_breaker() -> None:
    assert missed_bars(figures(none=REDIS | {"breaker_opened": 0}, restarted=REDIS | {"breaker_opened": 0})) == []


def test_who_waited_for_the_breaker_to_open_is_in_all_figures_but_the_last() -> None:
    shares_ms = [0.1] * 95 + [4.8] * 5
    assert of_shares(shares_ms, is_opened=True) == {
        "request_added_ms_max": 4.8,
        "request_added_ms_p99": 4.8,
        "request_added_ms_p99_but_opening": 0.1,
    }
    assert of_shares(shares_ms, is_opened=False)["request_added_ms_p99_but_opening"] == 4.8
    assert of_shares([], is_opened=True)["request_added_ms_max"] == 0.0
