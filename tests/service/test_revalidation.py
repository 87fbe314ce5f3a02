"""One at a time for a key, not too soon again, not too many, and no failure reaches anybody."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from qdts.errors import Unavailable
from qdts.service.deadline import Deadline
from qdts.service.metrics import Metrics
from qdts.service.reply import Reply
from qdts.service.revalidation import MAX_KEYS, REVALIDATE_S, Revalidation


class Making:
    def __init__(self, error: Exception | None = None) -> None:
        self.deadlines: list[Deadline] = []
        self.error = error
        self.go = asyncio.Event()

    async def __call__(self, deadline: Deadline) -> Reply:
        self.deadlines.append(deadline)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return cast("Reply", None)


@pytest.fixture(name="metrics")
def _metrics() -> Metrics:
    return Metrics()


async def test_one_at_a_time_with_a_deadline_of_its_own(metrics: Metrics) -> None:
    revalidation, making = Revalidation(metrics.cache, pause_s=0.0), Making()
    for _ in range(3):
        revalidation.start(b"k", making)
        await asyncio.sleep(0)
    assert len(making.deadlines) == 1
    assert 0 < making.deadlines[0].remaining_s <= REVALIDATE_S
    assert metrics.value("qdts_cache_revalidations_total") == 1
    revalidation.close()


@pytest.mark.parametrize("error", [None, Unavailable("down")])
async def test_again_after_a_pause_whatever_came_of_it(
    metrics: Metrics, error: Exception | None, eventually: Callable[..., Any]
) -> None:
    revalidation, making = Revalidation(metrics.cache, pause_s=0.05), Making(error)
    making.go.set()
    revalidation.start(b"k", making)
    await asyncio.sleep(0.01)
    revalidation.start(b"k", making)
    assert len(making.deadlines) == 1, "it is resting"

    def again() -> bool:
        revalidation.start(b"k", making)
        return len(making.deadlines) == 2

    await eventually(again)
    revalidation.close()


async def test_not_too_many_keys(metrics: Metrics) -> None:
    revalidation, making = Revalidation(metrics.cache), Making()
    for number in range(2 * MAX_KEYS):
        revalidation.start(bytes([number]), making)
    await asyncio.sleep(0)
    assert len(making.deadlines) == MAX_KEYS
    revalidation.close()


async def test_closing_stops_what_runs(metrics: Metrics) -> None:
    revalidation, making = Revalidation(metrics.cache), Making()
    revalidation.start(b"k", making)
    await asyncio.sleep(0)
    before = asyncio.all_tasks()
    revalidation.close()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == len(before) - 1
