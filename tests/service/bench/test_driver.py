"""The driver against servicers of known latency and capacity: nothing is sent late, nothing is skipped in silence."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from qdts.errors import Unavailable
from qdts.service.bench.driver import DriverConfig, drive
from qdts.service.bench.figures import describe
from qdts.service.bench.workload import Arrival

Make = Callable[..., Arrival]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_every_call_takes_what_the_servicer_takes(start: Any, arrival: Make) -> None:
    servicer, url = await start(takes_s=0.1)
    run = await drive([arrival(n, 0.01 * n, deadline_ms=5000) for n in range(50)], DriverConfig(url=url))
    figures = describe(run.outcomes, seconds=0.5)
    assert (figures.planned, figures.answered, figures.goodput_qps, servicer.num_calls) == (50, 50, 100, 50)
    assert figures.accepted.p50_ms is not None and figures.accepted.p50_ms >= 100
    assert figures.rungs == {"full": 50} and figures.model_share == 1
    assert [outcome.number for outcome in run.outcomes] == list(range(50))


async def test_a_stall_shows_in_all_that_were_to_be_sent_in_it(start: Any, arrival: Make) -> None:
    """A closed loop would have sent one request in the stall, and its p90 would not know of it."""
    servicer, url = await start()

    async def stall() -> None:
        await asyncio.sleep(0.5)
        servicer.is_open.clear()
        await asyncio.sleep(1.0)
        servicer.is_open.set()

    stalling = asyncio.ensure_future(stall())
    run = await drive([arrival(n, 0.02 * n, deadline_ms=10_000) for n in range(100)], DriverConfig(url=url))
    await stalling
    figures = describe(run.outcomes, seconds=2)
    assert (figures.answered, figures.unsent) == (100, 0)
    # 50 of 100 arrive in the stall, with waits spread evenly over a second.
    over = {ms: sum(outcome.latency_s > ms / 1000 for outcome in run.outcomes) for ms in (250, 500, 750)}
    assert over[250] >= 35 and over[500] >= 22 and over[750] >= 10
    assert figures.accepted.p99_ms is not None and figures.accepted.p99_ms > 900


async def test_a_full_servicer_answers_its_capacity_and_refuses_the_rest(start: Any, arrival: Make) -> None:
    """Two at a time, 0.5 s each, no queue, 20 requests in a moment: 2 answers, 18 refusals."""
    _, url = await start(takes_s=0.5, width=2, max_inside=2)
    run = await drive([arrival(n, 0.0, deadline_ms=5000) for n in range(20)], DriverConfig(url=url))
    figures = describe(run.outcomes, seconds=1)
    assert (figures.answered, figures.rejected, figures.failed) == (2, 18, 0)
    assert figures.codes == {"RESOURCE_EXHAUSTED": 18, "OK": 2}
    assert {outcome.reason for outcome in run.outcomes if outcome.is_rejected} == {"Overloaded"}
    assert figures.attainment == 0.1


async def test_a_queue_makes_those_behind_it_expire(start: Any, arrival: Make) -> None:
    """One at a time, 0.3 s each, 1 s of patience: three of ten are in time."""
    servicer, url = await start(takes_s=0.3, width=1)
    run = await drive([arrival(n, 0.0, deadline_ms=1000) for n in range(10)], DriverConfig(url=url))
    figures = describe(run.outcomes, seconds=1)
    assert figures.answered + figures.expired == 10 and 1 <= figures.answered <= 3
    await eventually(lambda: figures.expired == servicer.num_cancelled)  # the server learns of it
    assert figures.accepted_p99_over_slo is not None and figures.accepted_p99_over_slo > 1


async def test_what_is_too_much_to_send_is_counted(start: Any, arrival: Make) -> None:
    servicer, url = await start(takes_s=1.0)
    run = await drive([arrival(n, 0.0, deadline_ms=5000) for n in range(30)], DriverConfig(url=url, max_in_flight=10))
    assert Counter(outcome.code for outcome in run.outcomes) == {"OK": 10, "UNSENT": 20}
    assert servicer.num_calls == 10 and len(run.outcomes) == 30


async def test_what_would_be_sent_after_its_deadline_is_counted_and_not_sent(start: Any, arrival: Make) -> None:
    servicer, url = await start()
    late = [arrival(n, -1.0, deadline_ms=500) for n in range(5)]
    run = await drive([*late, arrival(5, 0.0, deadline_ms=5000)], DriverConfig(url=url))
    assert Counter(outcome.code for outcome in run.outcomes) == {"UNSENT": 5, "OK": 1}
    assert servicer.num_calls == 1


async def test_a_deadline_counts_from_the_intended_time(start: Any, arrival: Make) -> None:
    servicer, url = await start(takes_s=30.0)
    [outcome] = (await drive([arrival(0, -0.5, deadline_ms=1000)], DriverConfig(url=url))).outcomes
    assert outcome.is_expired and outcome.ended_s == pytest.approx(0.5, abs=0.4)
    assert outcome.latency_s >= 0.99
    await eventually(lambda: servicer.num_cancelled == 1)


async def test_callers_leave_when_they_are_to(start: Any, arrival: Make) -> None:
    servicer, url = await start(takes_s=30.0)
    arrivals = [arrival(n, 0.0, cancel_after_s=0.3, deadline_ms=600_000, is_streaming=n == 2) for n in range(3)]
    run = await drive(arrivals, DriverConfig(url=url))
    assert all(outcome.is_cancelled and 0.3 <= outcome.latency_s < 10 for outcome in run.outcomes)
    await eventually(lambda: servicer.num_cancelled == 2)


async def test_a_stream_has_a_first_text_and_an_end(start: Any, arrival: Make) -> None:
    _, url = await start(takes_s=0.2)
    [outcome] = (await drive([arrival(0, 0.0, deadline_ms=600_000, is_streaming=True)], DriverConfig(url=url))).outcomes
    assert outcome.code == "OK" and outcome.rung == "full" and outcome.first_text_s is not None
    assert outcome.first_text_s >= 0.19 and outcome.ended_s - outcome.first_text_s >= 0.15


async def test_a_slow_reader_takes_its_time(start: Any, arrival: Make) -> None:
    _, url = await start()
    slow = arrival(0, 0.0, deadline_ms=600_000, is_streaming=True, read_delay_ms=300)
    [outcome] = (await drive([slow], DriverConfig(url=url))).outcomes
    assert outcome.code == "OK" and outcome.latency_s >= 0.3


async def test_connections_are_as_many_as_asked_for(start: Any, arrival: Make) -> None:
    servicer, url = await start()
    await drive([arrival(n, 0.0, deadline_ms=600_000) for n in range(20)], DriverConfig(url=url, num_connections=3))
    assert len(servicer.peers) == 3


async def test_nobody_there_is_an_error(arrival: Make) -> None:
    with pytest.raises(Unavailable, match=r"no server at 127.0.0.1:1 within 0.2 s"):
        await drive([arrival(0, 0.0)], DriverConfig(url="127.0.0.1:1", connect_s=0.2))
