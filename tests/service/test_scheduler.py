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


def open_scheduler(max_queue: int) -> Scheduler:
    """A prompt has as many unread tokens as it has letters."""
    return Scheduler(max_queue=max_queue, num_unread=len)


def take(scheduler: Scheduler, max_jobs: int, max_tokens: int = 1000, *, waits: bool = True) -> list[Job]:
    return scheduler.schedule(max_jobs, max_tokens=max_tokens, waits=waits)


async def test_priority_classes_then_first_come_first_served() -> None:
    scheduler = open_scheduler(10)
    for name, priority in (("b1", 3), ("p1", 2), ("i1", 1), ("b2", 3), ("i2", 1)):
        scheduler.admit(job(name, priority=Priority(priority)))
    order = [take(scheduler, 1)[0].prompt for _ in range(5)]
    assert order == ["i1", "i2", "p1", "b1", "b2"]


async def test_batches_are_bounded() -> None:
    scheduler = open_scheduler(10)
    for number in range(5):
        scheduler.admit(job(str(number)))
    assert [len(take(scheduler, 3)) for _ in range(2)] == [3, 2]


async def test_within_a_class_the_earliest_deadline_goes_first() -> None:
    scheduler = open_scheduler(10)
    for name, seconds, priority in (("late", 50, 1), ("soon", 10, 1), ("bulk", 1, 3), ("soon too", 20, 1)):
        scheduler.admit(job(name, seconds=seconds, priority=Priority(priority)))
    assert [one.prompt for one in take(scheduler, 9)] == ["soon", "soon too", "late", "bulk"]


async def test_what_is_taken_at_once_is_bounded_in_tokens() -> None:
    scheduler = open_scheduler(10)
    for name in ("four", "five5", "much too long", "one", "six666"):
        scheduler.admit(job(name))
    taken = [[one.prompt for one in take(scheduler, 9, max_tokens=9, waits=False)] for _ in range(4)]
    assert taken == [["four", "five5"], ["much too long"], ["one", "six666"], []]


async def test_no_one_waits_who_has_other_things_to_do() -> None:
    scheduler = open_scheduler(10)
    assert take(scheduler, 9, waits=False) == []
    scheduler.admit(job("a"))
    assert take(scheduler, 0, waits=False) == []
    assert [one.prompt for one in take(scheduler, 9, waits=False)] == ["a"]


async def test_queue_is_bounded() -> None:
    scheduler = open_scheduler(2)
    scheduler.admit(job())
    scheduler.admit(job())
    with pytest.raises(QueueFull, match="2"):
        scheduler.admit(job())


async def test_those_who_left_keep_nobody_out() -> None:
    scheduler = open_scheduler(2)
    gone = [job(), job()]
    for one in gone:
        scheduler.admit(one)
        one.future.cancel()
    scheduler.admit(job("here"))
    assert [one.prompt for one in take(scheduler, 5)] == ["here"]


async def test_expired_jobs_are_failed_and_not_started() -> None:
    scheduler = open_scheduler(5)
    late, good = job(seconds=-1), job("good")
    scheduler.admit(late)
    scheduler.admit(good)
    assert take(scheduler, 5) == [good]
    with pytest.raises(DeadlineExceeded):
        await late.future


async def test_close_fails_what_waits_and_refuses_what_comes() -> None:
    scheduler = open_scheduler(5)
    waiting = job()
    scheduler.admit(waiting)
    scheduler.close(Draining("bye"))
    with pytest.raises(Draining):
        await waiting.future
    with pytest.raises(Draining):
        scheduler.admit(job())
    assert take(scheduler, 5) == []


async def test_close_wakes_who_waits_for_work() -> None:
    scheduler = open_scheduler(5)
    got: list[list[Job]] = []
    thread = threading.Thread(target=lambda: got.append(take(scheduler, 1)))
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
