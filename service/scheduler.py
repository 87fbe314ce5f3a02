"""The bounded queue between the event loop and the engine's thread. Decides the order; runs nothing.

Priority classes are served in order, but a lower one that waits is owed its share of the tokens that are taken. Within
a class the earliest deadline goes first; a deadline further away than the config's patience counts as if it were that
near, so that nobody is overtaken for ever. Where the queue is full, the latest of the lowest class makes room for a
higher one, down to that class's share of the queue. Jobs whose caller has gone, whose time is up or that waited too
long in a queue that stands leave here, before anything is spent on them.
"""

import asyncio
import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from qdts.errors import DeadlineExceeded, Overloaded, QdtsError, QueueFull
from qdts.models.document import Summary
from qdts.service.admission_config import AdmissionConfig
from qdts.service.codel import Codel
from qdts.service.deadline import Clock, Deadline
from qdts.service.request import Priority

# Whatever the summariser's prepare() returns for its start() and join(): nobody in between looks inside.
Prompt = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A summary from the engine, with what it took."""

    summary: Summary
    queue_ms: float
    encode_ms: float
    decode_ms: float


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A prompt on its way through the engine. `future` belongs to the event loop `loop`."""

    prompt: Prompt
    deadline: Deadline
    priority: Priority
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Generated]"
    on_text: Callable[[str], None] | None = None
    num_tokens: int = 1  # to read, as estimated before
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float = 0.0
    # Those that were written with it failed, and it is begun anew, by itself.
    is_second_try: bool = False
    # What its caller has been given of the text. Engine's thread only.
    shown: str = ""

    @property
    def is_wanted(self) -> bool:
        """Whether someone still waits for it. Reading a future's state is safe from any thread."""
        return not self.future.done()

    def finish(self, generated: Generated) -> None:
        """Answer, from any thread."""
        self._tell(lambda: None if self.future.done() else self.future.set_result(generated))

    def fail(self, error: QdtsError) -> None:
        """Answer with an error, from any thread."""
        self._tell(lambda: None if self.future.done() else self.future.set_exception(error))

    def show(self, text: str) -> None:
        """Hand out the text so far, where it goes on from what was handed out before."""
        goes_on = text.startswith(self.shown) and text != self.shown
        if goes_on and self.on_text is not None and self.is_wanted:
            on_text, self.shown = self.on_text, text
            self._tell(lambda: on_text(text))

    def _tell(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            self.loop.call_soon_threadsafe(callback)


class Scheduler:
    """A queue with bounds in jobs and in their estimated tokens. Safe between threads.

    `num_unread` says how many tokens of a prompt are to be encoded; it is asked by whoever calls schedule(). `on_wait`
    is told once of each job, when it leaves the queue in whichever way, how many seconds it waited.
    """

    def __init__(
        self,
        *,
        max_queue: int,
        num_unread: Callable[[Prompt], int],
        config: AdmissionConfig | None = None,
        on_wait: Callable[[float], None] = lambda seconds: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._max_queue = max_queue
        self._num_unread = num_unread
        self._config = config or AdmissionConfig()
        self._on_wait = on_wait
        self._clock = clock
        self._queues = {priority: _Queue(self._config.queue_interval_ms / 1000) for priority in Priority}
        self._arrivals = itertools.count()
        self._changed = threading.Condition()
        # Out of the queue and not yet begun. Counted here, under the lock: a job that its taker has not yet written
        # down would for that moment be nowhere, and others let in for it.
        self.num_handed_out = 0
        self._closed_by: QdtsError | None = None

    @property
    def closed_by(self) -> QdtsError | None:
        """What close() was told; None before."""
        return self._closed_by

    @property
    def num_waiting(self) -> int:
        """Jobs in the queue."""
        return sum(len(queue.jobs) for queue in self._queues.values())

    @property
    def num_by_class(self) -> dict[Priority, int]:
        """Jobs in the queue, by class."""
        return {priority: len(queue.jobs) for priority, queue in self._queues.items()}

    def admit(self, job: Job) -> None:
        """Queue a job. QueueFull when a bound is reached; after close() the error it was closed with."""
        with self._changed:
            if self._closed_by is not None:
                # A copy for each: one that is raised again and again keeps the frames of all who got it.
                raise copy(self._closed_by)
            if self._is_full_for(job):
                self._drop_unwanted()
            while self._is_full_for(job):
                self._make_room(job.priority)
            urgency = min(job.deadline.at, job.queued_at + self._config.patience_ms / 1000)
            heapq.heappush(self._queues[job.priority].jobs, (urgency, next(self._arrivals), job))
            self._changed.notify()

    def schedule(self, max_jobs: int, *, max_tokens: int, waits: bool) -> list[Job]:
        """The next jobs worth working on: at most `max_jobs`, and of `max_tokens` unread tokens, or one of more.

        Waits for one, if it is to; then it is empty only after close().
        """
        with self._changed:
            while True:
                jobs = self._take(max_jobs, max_tokens)
                if jobs or not waits or self._closed_by is not None:
                    return jobs
                self._changed.wait()

    def begun(self) -> None:
        """What was handed out is counted by its taker now."""
        self.num_handed_out = 0

    def close(self, error: QdtsError) -> None:
        """Let nothing in any more and fail what waits, with `error`. Further calls change nothing."""
        with self._changed:
            self._closed_by = self._closed_by or error
            for queue in self._queues.values():
                for _, _, job in queue.jobs:
                    self._tell_wait(job)
                    job.fail(copy(self._closed_by))
                queue.jobs.clear()
            self._changed.notify_all()

    def _is_full_for(self, job: Job) -> bool:
        num_tokens = sum(queue.num_tokens for queue in self._queues.values())
        is_over = num_tokens > 0 and num_tokens + job.num_tokens > self._config.max_queue_tokens
        return is_over or self.num_waiting >= self._max_queue

    def _make_room(self, priority: Priority) -> None:
        """Turn away the latest job of the lowest class below `priority` that has more than its share; or QueueFull."""
        for lower in reversed(Priority):
            jobs = self._queues[lower].jobs
            if lower > priority and len(jobs) > self._config.share(lower) * self._max_queue:
                latest = max(jobs)
                jobs.remove(latest)
                heapq.heapify(jobs)
                self._tell_wait(latest[-1])
                latest[-1].fail(QueueFull("a request of a higher class took its place in the queue"))
                return
        raise QueueFull(f"the queue holds {self._max_queue} requests, or {self._config.max_queue_tokens} tokens")

    def _take(self, max_jobs: int, max_tokens: int) -> list[Job]:
        jobs, num_tokens = list[Job](), 0
        while len(jobs) < max_jobs and (priority := self._next_class()):
            queue = self._queues[priority]
            job, num_unread = queue.first, self._num_unread(queue.first.prompt)
            if jobs and num_tokens + num_unread > max_tokens:
                break  # nobody overtakes it, and it has not left the queue yet
            self._tell_wait(job)
            if self._stands(queue):
                heapq.heappop(queue.jobs)
                job.fail(Overloaded("it waited too long in the queue"))
                continue
            num_tokens += num_unread
            self.num_handed_out += 1
            heapq.heappop(queue.jobs)
            self._account(priority, job)
            jobs.append(job)
        return jobs

    def _next_class(self) -> Priority | None:
        """The class whose first job is next: the highest that waits, unless a lower one is owed as much."""
        waiting = [priority for priority in Priority if self._has_work(priority)]
        owed = (priority for priority in waiting[1:] if self._queues[priority].is_owed)
        return next(owed, waiting[0] if waiting else None)

    def _has_work(self, priority: Priority) -> bool:
        """Whether a job worth working on waits; it is then the first."""
        queue = self._queues[priority]
        while queue.jobs and not _is_worth_it(queue.first):
            self._tell_wait(heapq.heappop(queue.jobs)[-1])
        if not queue.jobs:
            queue.owed_tokens = 0.0  # what is not used is not saved up
        return bool(queue.jobs)

    def _stands(self, queue: "_Queue") -> bool:
        """Whether the first of a queue that has others in it waited too long. To be asked once of each."""
        job = queue.first
        target_s = self._config.queue_target_s(job.deadline.at - job.queued_at)
        now_s = self._clock()
        is_late = queue.codel.drops((now_s - job.queued_at) / target_s, now_s=now_s)
        return is_late and len(queue.jobs) > 1

    def _account(self, taken: Priority, job: Job) -> None:
        """Every class that waits is owed its share of what was taken."""
        for priority, queue in self._queues.items():
            if queue.jobs or priority is taken:
                queue.owed_tokens += self._config.share(priority) * job.num_tokens
        queue = self._queues[taken]
        queue.owed_tokens = max(0.0, queue.owed_tokens - job.num_tokens)

    def _drop_unwanted(self) -> None:
        """Callers that have gone must not keep others out."""
        for queue in self._queues.values():
            kept = list[tuple[float, int, Job]]()
            for entry in queue.jobs:
                if entry[-1].is_wanted:
                    kept.append(entry)
                else:
                    self._tell_wait(entry[-1])
            heapq.heapify(kept)
            queue.jobs[:] = kept

    def _tell_wait(self, job: Job) -> None:
        """A job leaves the queue. One that nobody has taken out in time waited until its deadline, and no longer."""
        self._on_wait(max(0.0, min(self._clock(), job.deadline.at) - job.queued_at))


class _Queue:
    """One class's jobs, a heap: by urgency, and among equal ones by arrival."""

    def __init__(self, interval_s: float) -> None:
        self.jobs: list[tuple[float, int, Job]] = []
        self.codel = Codel(interval_s=interval_s)
        self.owed_tokens = 0.0

    @property
    def first(self) -> Job:
        """The next to go, of a queue that is not empty."""
        return self.jobs[0][-1]

    @property
    def num_tokens(self) -> int:
        """Of all that wait."""
        return sum(job.num_tokens for _, _, job in self.jobs)

    @property
    def is_owed(self) -> bool:
        """Whether its share of the model has grown to what the next to go takes."""
        return self.owed_tokens >= self.first.num_tokens


def _is_worth_it(job: Job) -> bool:
    """Whether someone waits for it, and there is time; who waits in vain is told."""
    if job.is_wanted and job.deadline.expired:
        job.fail(DeadlineExceeded("the deadline passed in the queue"))
        return False
    return job.is_wanted
