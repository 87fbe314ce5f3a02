"""What calls are made while something breaks, and how their ends are counted."""

from collections import Counter

from qdts.loadtest.bench_startup import free_port
from qdts.loadtest.counting_server import redis_config, serving
from qdts.loadtest.fault_load import Outcomes, load


def test_failed_calls_are_those_that_ended_in_an_error() -> None:
    ends = Counter({"full": 5, "cache": 2, "Unavailable": 3, "DeadlineExceeded": 1})
    assert Outcomes(ends, [], []).num_failed == 4


async def test_calls_come_at_their_rate_and_half_of_them_ask_anew() -> None:
    """The seed is the name, so what is asked is always the same. Without a Redis: the server does without."""
    async with serving(redis_config(f"redis://127.0.0.1:{free_port()}/0")) as (application, model):
        outcomes = await load(application.port, 1.0, "some fault")
    assert 60 < outcomes.ends.total() == len(outcomes.took_ms) == len(outcomes.late_ms) < 140
    # Some is found in the cache; where the machine was too busy the model is asked for less.
    assert 0 < model.num_calls < 0.8 * outcomes.ends.total()


async def test_nobody_there_is_a_failure_of_each_call() -> None:
    outcomes = await load(free_port(), 0.2, "nobody")
    assert outcomes.ends.total() == outcomes.num_failed > 0
