"""Several processes send what one would: every arrival once, at its time."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from qdts.errors import Unavailable
from qdts.service.bench import apart
from qdts.service.bench.apart import drive_apart
from qdts.service.bench.driver import DriverConfig
from qdts.service.bench.workload import Arrival, RequestClass

Make = Callable[..., Arrival]


@pytest.mark.parametrize("num_processes", [1, 3])
async def test_every_arrival_is_sent_once_and_told_in_order(start: Any, arrival: Make, num_processes: int) -> None:
    servicer, url = await start()
    arrivals = [arrival(n, 0.01 * n, deadline_ms=600_000) for n in range(10)]
    config = DriverConfig(url=url, num_processes=num_processes)
    run = await asyncio.to_thread(drive_apart, arrivals, config)
    assert [outcome.number for outcome in run.outcomes] == list(range(10))
    assert [outcome.code for outcome in run.outcomes] == ["OK"] * 10
    assert sorted(servicer.queries) == sorted(f"query {n}" for n in range(10))
    assert run.started_at < time.monotonic()


async def test_all_count_from_the_same_second(start: Any, arrival: Make) -> None:
    """Nothing is sent before its time, and times are those of one clock."""
    _, url = await start(takes_s=0.2)
    arrivals = [arrival(n, 0.1 * n, deadline_ms=600_000) for n in range(6)]
    run = await asyncio.to_thread(drive_apart, arrivals, DriverConfig(url=url, num_processes=2))
    assert all(outcome.sent_s >= outcome.planned_s for outcome in run.outcomes)
    assert all(outcome.ended_s >= outcome.planned_s + 0.2 for outcome in run.outcomes)


async def test_more_processes_than_arrivals(start: Any, arrival: Make) -> None:
    _, url = await start()
    run = await asyncio.to_thread(
        drive_apart, [arrival(0, 0.0, deadline_ms=600_000)], DriverConfig(url=url, num_processes=3)
    )
    assert [outcome.code for outcome in run.outcomes] == ["OK"]


async def test_one_that_ends_without_a_result_is_an_error(start: Any, arrival: Make) -> None:
    _, url = await start()
    broken = replace(arrival(1, 0.0), kind=cast(RequestClass, None))
    with pytest.raises(Unavailable, match="without a result"):
        await asyncio.to_thread(drive_apart, [arrival(0, 0.0), broken], DriverConfig(url=url, num_processes=2))


def test_nobody_there_is_told(arrival: Make) -> None:
    started = time.monotonic()
    config = DriverConfig(url="127.0.0.1:1", num_processes=2, connect_s=0.2)
    with pytest.raises(Unavailable, match=r"no server at 127.0.0.1:1 within 0.2 s"):
        drive_apart([arrival(0, 0.0), arrival(1, 0.0)], config)
    assert time.monotonic() - started < 60 and apart.LEAD_S < 1
