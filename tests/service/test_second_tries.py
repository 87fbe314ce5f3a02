"""Who is tried again after a batch has failed, in which order, and who is not."""

import asyncio

import pytest

from qdts.errors import DeadlineExceeded, Draining
from qdts.service.deadline import Deadline
from qdts.service.request import Priority
from qdts.service.scheduler import Job
from qdts.service.second_tries import SecondTries, has_time


class Now:
    """A clock that shows what it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def _clock() -> Now:
    return Now()


def job(clock: Now, name: str, seconds: float) -> Job:
    loop = asyncio.get_running_loop()
    return Job(
        prompt=name,
        deadline=Deadline.after(seconds, clock),
        priority=Priority.INTERACTIVE,
        loop=loop,
        future=loop.create_future(),
    )


async def test_the_earliest_deadline_goes_first_and_stays_until_it_is_removed(clock: Now) -> None:
    tries = SecondTries()
    assert tries.first is None and len(tries) == 0
    tries.add([job(clock, name, seconds) for name, seconds in (("b", 2), ("a", 1), ("c", 3))])
    order = list[str]()
    while (first := tries.first) is not None:
        assert tries.first is first and first.is_second_try
        order.append(first.prompt)
        tries.remove(first)
    assert order == ["a", "b", "c"]


async def test_those_that_are_gone_or_late_are_dropped_and_the_late_told(clock: Now) -> None:
    gone, late, fine = (job(clock, "", seconds) for seconds in (9, 1, 9))
    tries = SecondTries()
    tries.add([gone, late, fine])
    gone.future.cancel()
    clock.now = 1
    tries.drop_lost()
    assert len(tries) == 1 and tries.first is fine
    with pytest.raises(DeadlineExceeded):
        await late.future
    tries.fail_all(Draining("bye"))
    assert len(tries) == 0
    with pytest.raises(Draining):
        await fine.future


@pytest.mark.parametrize(("left_s", "batch", "expected"), [(1.1, 4, True), (1.0, 4, False), (3.0, 1, False)])
async def test_time_is_for_the_share_of_what_it_took_among_others(
    clock: Now, left_s: float, batch: int, expected: bool
) -> None:
    assert has_time(job(clock, "", left_s), took_s=4.0, batch=batch) is expected
