"""The bounded queue between the event loop and the engine's thread. Decides the order; runs nothing.

Priority classes are served strictly in order, within a class the earliest deadline first. Jobs whose caller has
gone or whose time is up leave here, before anything is spent on them.
"""

import asyncio
import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qdts.errors import DeadlineExceeded, QdtsError, QueueFull
from qdts.models.document import Summary
from qdts.service.deadline import Deadline
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
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float = 0.0

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
        """Hand out the text so far, from any thread."""
        if text and self.on_text is not None and self.is_wanted:
            on_text = self.on_text
            self._tell(lambda: on_text(text))

    def _tell(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            self.loop.call_soon_threadsafe(callback)


class Scheduler:
    """A queue with a bound in jobs. Safe between threads.

    `num_unread` says how many tokens of a prompt are to be encoded; it is asked by whoever calls schedule().
    """

    def __init__(self, *, max_queue: int, num_unread: Callable[[Prompt], int]) -> None:
        self._max_queue = max_queue
        self._num_unread = num_unread
        # Heaps: by deadline, and among equal ones by arrival.
        self._queues: dict[Priority, list[tuple[float, int, Job]]] = {priority: [] for priority in Priority}
        self._arrivals = itertools.count()
        self._changed = threading.Condition()
        self._closed_by: QdtsError | None = None

    @property
    def num_waiting(self) -> int:
        """Jobs in the queue."""
        return sum(len(queue) for queue in self._queues.values())

    def admit(self, job: Job) -> None:
        """Queue a job. QueueFull when the bound is reached; after close() the error it was closed with."""
        with self._changed:
            if self._closed_by is not None:
                raise self._closed_by
            if self.num_waiting >= self._max_queue:
                self._drop_unwanted()
            if self.num_waiting >= self._max_queue:
                raise QueueFull(f"the queue holds {self._max_queue} requests")
            heapq.heappush(self._queues[job.priority], (job.deadline.at, next(self._arrivals), job))
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

    def close(self, error: QdtsError) -> None:
        """Let nothing in any more and fail what waits, with `error`. Further calls change nothing."""
        with self._changed:
            self._closed_by = self._closed_by or error
            for queue in self._queues.values():
                for _, _, job in queue:
                    job.fail(self._closed_by)
                queue.clear()
            self._changed.notify_all()

    def _take(self, max_jobs: int, max_tokens: int) -> list[Job]:
        jobs, num_tokens = list[Job](), 0
        while len(jobs) < max_jobs and (queue := self._next_queue()):
            job = queue[0][-1]
            num_tokens += self._num_unread(job.prompt)
            if jobs and num_tokens > max_tokens:
                break  # nobody overtakes it
            jobs.append(heapq.heappop(queue)[-1])
        return jobs

    def _next_queue(self) -> list[tuple[float, int, Job]] | None:
        """The first queue that begins with a job worth working on."""
        for queue in self._queues.values():
            while queue and not _is_worth_it(queue[0][-1]):
                heapq.heappop(queue)
            if queue:
                return queue
        return None

    def _drop_unwanted(self) -> None:
        """Callers that have gone must not keep others out."""
        for queue in self._queues.values():
            queue[:] = [entry for entry in queue if entry[-1].is_wanted]
            heapq.heapify(queue)


def _is_worth_it(job: Job) -> bool:
    """Whether someone waits for it, and there is time; who waits in vain is told."""
    if job.is_wanted and job.deadline.expired:
        job.fail(DeadlineExceeded("the deadline passed in the queue"))
        return False
    return job.is_wanted
