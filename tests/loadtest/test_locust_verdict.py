"""What is made of Locust's figures: first messages are no requests, and a busy driver says nothing."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from qdts.loadtest.locust_verdict import judge

OPTIONS = SimpleNamespace(deadline_ms=500.0, max_fail_ratio=0.01)


def stats(**entries: tuple[dict[int, int], int]) -> Any:
    """Response times in ms with how often they came, and failures among them, by name."""
    made = {
        name: SimpleNamespace(
            name=name.replace("_", " "),
            response_times=Counter(times),
            num_requests=sum(times.values()),
            num_failures=num_failures,
        )
        for name, (times, num_failures) in entries.items()
    }
    return SimpleNamespace(entries=made)


def test_a_good_run_passes_with_its_p99() -> None:
    verdict = judge(stats(Summarize=({100: 98, 200: 2}, 0), StreamSummarize=({300: 100}, 2)), [0.001], OPTIONS)
    assert (verdict.num_requests, verdict.num_failed, verdict.p99_ms) == (200, 2, 300)
    assert verdict.status == 0 and str(verdict).endswith("sent 1.0 ms late at p99: passed")


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        (stats(), "nothing was sent"),
        (stats(Summarize=({100: 100}, 2)), "2.00% failed, at most 1.00%"),
        (stats(Summarize=({100: 98, 600: 2}, 0)), "p99 600 ms, at most 500"),
        (stats(Summarize=({100: 90}, 0), unsent=({550: 10}, 10)), "10.00% failed, at most 1.00%; p99 550 ms"),
    ],
)
def test_each_way_to_fail_is_named_and_has_a_status(seen: Any, problem: str) -> None:
    verdict = judge(seen, [0.001] * 100, OPTIONS)
    assert verdict.status == 1 and problem in str(verdict)


def test_first_messages_are_not_requests() -> None:
    """Ten streams of which one failed; their first messages, all quick, must not thin that out."""
    seen = stats(StreamSummarize=({100: 9, 900: 1}, 1), StreamSummarize_first_message=({10: 1000}, 0))
    verdict = judge(seen, [], OPTIONS)
    assert verdict.num_requests == 10 and verdict.p99_ms == 900 and len(verdict.faults) == 2


def test_a_driver_that_was_late_says_nothing_of_the_server() -> None:
    late = [0.0] * 90 + [0.5] * 10
    assert judge(stats(Summarize=({100: 100}, 100)), late, OPTIONS).status == 3
    assert judge(stats(Summarize=({100: 100}, 0)), late, OPTIONS).status == 0
