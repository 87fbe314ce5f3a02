"""Who waits, who goes first, who is not worth starting."""

import asyncio
import threading

import pytest

from qdts.errors import DeadlineExceeded, Draining, QueueFull
from qdts.models.document import Summary
from qdts.service.deadline import Deadline
from qdts.service.request import Priority
from qdts.service.scheduler import Generated, Job, Scheduler

RESULT = Generated(summary=Summary(sentences=(), coverage=1.0), queue_ms=0, encode_ms=0, decode_ms=0)


def job(name: str = "", *, priority: Priority = Priority.INTERACTIVE, seconds: float = 60) -> Job:
    loop = asyncio.get_running_loop()
    return Job(
        prompt=name,
        deadline=Deadline.after(seconds),
        priority=priority,
        loop=loop,
        future=loop.create_future(),
    )


async def test_priority_classes_then_first_come_first_served() -> None:
    scheduler = Scheduler(max_queue=10)
    for name, priority in (("b1", 3), ("p1", 2), ("i1", 1), ("b2", 3), ("i2", 1)):
        scheduler.admit(job(name, priority=Priority(priority)))
    order = [scheduler.schedule(1)[0].prompt for _ in range(5)]
    assert order == ["i1", "i2", "p1", "b1", "b2"]


async def test_batches_are_bounded() -> None:
    scheduler = Scheduler(max_queue=10)
    for number in range(5):
        scheduler.admit(job(str(number)))
    assert [len(scheduler.schedule(3)) for _ in range(2)] == [3, 2]


async def test_queue_is_bounded() -> None:
    scheduler = Scheduler(max_queue=2)
    scheduler.admit(job())
    scheduler.admit(job())
    with pytest.raises(QueueFull, match="2"):
        scheduler.admit(job())


async def test_those_who_left_keep_nobody_out() -> None:
    scheduler = Scheduler(max_queue=2)
    gone = [job(), job()]
    for one in gone:
        scheduler.admit(one)
        one.future.cancel()
    scheduler.admit(job("here"))
    assert [one.prompt for one in scheduler.schedule(5)] == ["here"]


async def test_expired_jobs_are_failed_and_not_started() -> None:
    scheduler = Scheduler(max_queue=5)
    late, good = job(seconds=-1), job("good")
    scheduler.admit(late)
    scheduler.admit(good)
    assert scheduler.schedule(5) == [good]
    with pytest.raises(DeadlineExceeded):
        await late.future


async def test_close_fails_what_waits_and_refuses_what_comes() -> None:
    scheduler = Scheduler(max_queue=5)
    waiting = job()
    scheduler.admit(waiting)
    scheduler.close(Draining("bye"))
    with pytest.raises(Draining):
        await waiting.future
    with pytest.raises(Draining):
        scheduler.admit(job())
    assert scheduler.schedule(5) == []


async def test_close_wakes_who_waits_for_work() -> None:
    scheduler = Scheduler(max_queue=5)
    got: list[list[Job]] = []
    thread = threading.Thread(target=lambda: got.append(scheduler.schedule(1)))
    thread.start()
    scheduler.close(Draining("bye"))
    thread.join(5)
    assert got == [[]]


async def test_answers_to_those_who_left_are_dropped() -> None:
    one = job()
    one.future.cancel()
    one.finish(RESULT)
    one.fail(Draining("bye"))
    await asyncio.sleep(0)
    assert one.future.cancelled()
