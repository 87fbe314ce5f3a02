"""Who waits, who goes first, who is not worth starting."""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from qdts.errors import DeadlineExceeded, Draining, Overloaded, QueueFull
from qdts.models.document import Summary
from qdts.service.admission_config import AdmissionConfig
from qdts.service.deadline import Deadline
from qdts.service.request import Priority
from qdts.service.scheduler import Generated, Job, Scheduler

RESULT = Generated(summary=Summary(sentences=(), coverage=1.0), queue_ms=0, encode_ms=0, decode_ms=0)


def job(
    name: str = "",
    *,
    priority: Priority = Priority.INTERACTIVE,
    seconds: float = 60,
    num_tokens: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> Job:
    loop = asyncio.get_running_loop()
    return Job(
        prompt=name,
        deadline=Deadline.after(seconds, clock),
        priority=priority,
        num_tokens=num_tokens,
        queued_at=clock(),
        loop=loop,
        future=loop.create_future(),
    )


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        return self.now


def open_scheduler(max_queue: int, clock: Callable[[], float] = time.monotonic, **settings: Any) -> Scheduler:
    """A prompt has as many unread tokens as it has letters."""
    return Scheduler(max_queue=max_queue, num_unread=len, config=AdmissionConfig(**settings), clock=clock)


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


def take(scheduler: Scheduler, max_jobs: int, max_tokens: int = 1000, *, waits: bool = True) -> list[Job]:
    return scheduler.schedule(max_jobs, max_tokens=max_tokens, waits=waits)


async def test_priority_classes_then_first_come_first_served() -> None:
    scheduler = open_scheduler(10)
    for name, priority in (("b1", 3), ("p1", 2), ("i1", 1), ("b2", 3), ("i2", 1)):
        scheduler.admit(job(name, priority=Priority(priority)))
    order = [take(scheduler, 1)[0].prompt for _ in range(5)]
    assert order == ["i1", "i2", "p1", "b1", "b2"]


async def test_lower_classes_get_their_shares(clock: Clock) -> None:
    """Of 40 jobs in a row, and no more than that while others wait."""
    scheduler = open_scheduler(200, prefetch_share=0.2, bulk_share=0.1)
    for number in range(50):
        for priority in Priority:
            scheduler.admit(job(f"{number}", priority=priority))
    taken = Counter(take(scheduler, 1)[0].priority for _ in range(40))
    assert taken[Priority.PREFETCH] == pytest.approx(8, abs=1)
    assert taken[Priority.BULK] == pytest.approx(4, abs=1)


async def test_a_class_that_did_not_wait_has_saved_nothing_up() -> None:
    scheduler = open_scheduler(200, bulk_share=0.25)
    for number in range(60):
        scheduler.admit(job(f"{number}"))
    scheduler.admit(job("b", priority=Priority.BULK))
    for _ in range(40):
        take(scheduler, 1)
    scheduler.admit(job("b1", priority=Priority.BULK))
    scheduler.admit(job("b2", priority=Priority.BULK))
    order = [take(scheduler, 1)[0].priority for _ in range(10)]
    assert order.count(Priority.BULK) == 2 and order[:2] != [Priority.BULK, Priority.BULK]


async def test_what_is_handed_out_is_counted_until_it_has_begun(clock: Clock) -> None:
    """Between queue and engine a job must not be nowhere: others would be let in for it."""
    scheduler = open_scheduler(10, clock)
    for name in "abc":
        scheduler.admit(job(name, seconds=1, clock=clock))
    take(scheduler, 2)
    assert (scheduler.num_waiting, scheduler.num_handed_out) == (1, 2)
    scheduler.begun()
    assert (scheduler.num_waiting, scheduler.num_handed_out) == (1, 0)


async def test_far_deadlines_do_not_starve(clock: Clock) -> None:
    """A stream of near deadlines overtakes a far one for as long as patience lasts."""
    scheduler = open_scheduler(100, clock, patience_ms=550)
    scheduler.admit(job("far", seconds=3600, clock=clock))
    taken: list[str] = []
    for number in range(20):
        clock.now += 0.1
        scheduler.admit(job(f"near {number}", seconds=0.2, clock=clock))
        taken += [one.prompt for one in take(scheduler, 1)]
    assert taken.index("far") == 3, "near 3 ends at 0.6 s, and far counts as 0.55 s"


async def test_a_queue_that_stands_turns_away_who_waited_too_long(clock: Clock) -> None:
    """The target is a tenth of 1 s. All wait for 0.25 s, and the first 0.2 s of that may be a burst."""
    scheduler = open_scheduler(100, clock, queue_target_share=0.1, queue_interval_ms=200)
    jobs, taken = list[Job](), list[str]()

    def arrive() -> None:
        jobs.append(job(f"{len(jobs)}", seconds=1, clock=clock))
        scheduler.admit(jobs[-1])

    for _ in range(5):
        arrive()
    for _ in range(40):
        clock.now += 0.05
        arrive()
        taken += [each.prompt for each in take(scheduler, 1, waits=False)]
    await asyncio.sleep(0)
    shed = [one.prompt for one in jobs if one.future.done() and isinstance(one.future.exception(), Overloaded)]
    assert taken[:4] == ["0", "1", "2", "3"], "a burst is no overload"
    assert 1 <= len(shed) <= 5
    assert len(taken) == 40, "and there was always one to take"
    assert not [one for one in jobs if one.future.done() and one.prompt not in shed]


async def test_a_full_queue_makes_room_for_a_higher_class() -> None:
    scheduler = open_scheduler(4, bulk_share=0.25)
    bulk = [job(f"b{seconds}", priority=Priority.BULK, seconds=seconds) for seconds in (3, 1, 4, 2)]
    for one in bulk:
        scheduler.admit(one)
    for number in range(3):
        scheduler.admit(job(f"i{number}"))
    with pytest.raises(QueueFull):
        scheduler.admit(job("i3"))  # bulk has its share, a quarter of four
    with pytest.raises(QueueFull):
        scheduler.admit(job("p", priority=Priority.PREFETCH))
    await asyncio.sleep(0)
    assert [one.prompt for one in bulk if one.future.done()] == ["b3", "b4", "b2"]
    assert all(isinstance(one.future.exception(), QueueFull) for one in bulk if one.future.done())
    assert [one.prompt for one in take(scheduler, 9)] == ["i0", "i1", "i2", "b1"]


async def test_queue_is_bounded_in_tokens() -> None:
    scheduler = open_scheduler(10, max_queue_tokens=10)
    scheduler.admit(job(num_tokens=6))
    with pytest.raises(QueueFull, match="10 tokens"):
        scheduler.admit(job(num_tokens=5))
    scheduler.admit(job(num_tokens=4))
    take(scheduler, 9)
    scheduler.admit(job(num_tokens=99))  # alone it is let in, or it never would be


async def test_batches_are_bounded() -> None:
    scheduler = open_scheduler(10)
    for number in range(5):
        scheduler.admit(job(str(number)))
    assert [len(take(scheduler, 3)) for _ in range(2)] == [3, 2]


async def test_within_a_class_the_earliest_deadline_goes_first() -> None:
    scheduler = open_scheduler(10)
    for name, seconds, priority in (("late", 4, 1), ("soon", 2, 1), ("bulk", 1, 3), ("soon too", 3, 1)):
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


async def test_nothing_is_kept_of_calls_that_came_too_late() -> None:
    scheduler = open_scheduler(5)
    reason = Draining("bye")
    scheduler.close(reason)
    refused: list[Draining] = []
    for _ in range(3):
        with pytest.raises(Draining, match="bye") as caught:
            scheduler.admit(job())
        refused.append(caught.value)
    assert reason.__traceback__ is None, "which would hold all of their frames"
    assert len({id(error) for error in (reason, *refused)}) == 4


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


class Waits:
    """A scheduler with a clock of its own, and the waits that it reports."""

    def __init__(self, clock: Clock, max_queue: int = 10, **settings: Any) -> None:
        self.clock, self.seconds = clock, list[float]()
        self.scheduler = Scheduler(
            max_queue=max_queue,
            num_unread=len,
            config=AdmissionConfig(**settings),
            on_wait=self.seconds.append,
            clock=clock,
        )

    def admit(self, name: str, *, seconds: float = 60, priority: Priority = Priority.INTERACTIVE) -> Job:
        one = job(name, seconds=seconds, priority=priority, clock=self.clock)
        self.scheduler.admit(one)
        return one

    def take(self, max_jobs: int = 9, max_tokens: int = 1000) -> list[str]:
        return [one.prompt for one in take(self.scheduler, max_jobs, max_tokens, waits=False)]


async def test_the_wait_of_who_expires_is_told_up_to_the_deadline(clock: Clock) -> None:
    waits = Waits(clock)
    for number in range(4):
        waits.admit(f"{number}", seconds=0.5)
    waits.admit("gone", seconds=0.75).future.cancel()  # as who asked does at the deadline
    waits.admit("good")
    clock.now += 2
    assert waits.take() == ["good"]
    assert waits.seconds == pytest.approx([*[0.5] * 4, 0.75, 2])


async def test_the_wait_of_who_makes_room_is_told(clock: Clock) -> None:
    waits = Waits(clock, max_queue=2, bulk_share=0.25)
    waits.admit("low", priority=Priority.BULK)
    waits.admit("gone").future.cancel()
    clock.now += 0.25
    waits.admit("i1")
    assert waits.seconds == [0.25], "the one that had gone"
    clock.now += 0.5
    waits.admit("i2")
    assert waits.seconds == [0.25, 0.75]
    waits.scheduler.close(Draining("bye"))
    assert waits.seconds == [0.25, 0.75, 0.5, 0]


async def test_a_wait_is_told_once_however_often_the_job_is_held_back(clock: Clock) -> None:
    """By what may be read at once; controlled delay hears of it once, too."""
    waits = Waits(clock, queue_target_share=0.1, queue_interval_ms=200)
    heard = list[float]()
    queue = waits.scheduler._queues[Priority.INTERACTIVE]
    whole = queue.codel.drops
    queue.codel.drops = lambda wait, *, now_s: heard.append(wait) or whole(wait, now_s=now_s)  # type: ignore[method-assign]
    for name in ("aaaa", "bbbb", "cccc", "dddd"):
        waits.admit(name, seconds=10)
    for name in ("aaaa", "bbbb", "cccc", "dddd"):
        clock.now += 0.1
        assert waits.take(max_tokens=7) == [name]
    assert waits.seconds == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert heard == pytest.approx([0.1, 0.2, 0.3, 0.4]), "the target is 1 s"


async def test_whatever_becomes_of_jobs_each_wait_is_told_once(clock: Clock) -> None:
    random = Random(7)
    waits = Waits(clock, max_queue=8, max_queue_tokens=60, queue_target_share=0.1, queue_interval_ms=200)
    admitted = list[Job]()
    for number in range(600):
        clock.now += random.choice((0.0, 0.02, 0.1))
        with contextlib.suppress(QueueFull):
            priority, seconds = random.choice([*Priority]), random.choice((0.1, 0.5, 2.0, 30.0))
            admitted.append(waits.admit("x" * (1 + number % 9), seconds=seconds, priority=priority))
        if random.random() < 0.2:
            random.choice(admitted).future.cancel()
        if random.random() < 0.6:
            waits.take(random.randint(1, 3), max_tokens=random.randint(1, 12))
        assert len(waits.seconds) == len(admitted) - waits.scheduler.num_waiting
    waits.scheduler.close(Draining("bye"))
    assert len(waits.seconds) == len(admitted) > 200
    assert all(0 <= seconds <= 30 for seconds in waits.seconds)
