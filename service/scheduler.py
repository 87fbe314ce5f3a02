"""The bounded queue between the event loop and the engine's thread. Decides the order; runs nothing.

Priority classes are served strictly in order, within a class first come, first served. Jobs whose caller has
gone or whose time is up leave here, before anything is spent on them.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qdts.errors import DeadlineExceeded, QdtsError, QueueFull
from qdts.models.document import Summary
from qdts.service.deadline import Deadline
from qdts.service.request import Priority

# Whatever the summariser's prepare() returns for its start(): nobody in between looks inside.
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
    """A queue with a bound in jobs. Safe between threads."""

    def __init__(self, *, max_queue: int) -> None:
        self._max_queue = max_queue
        self._queues: dict[Priority, deque[Job]] = {priority: deque() for priority in Priority}
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
            self._queues[job.priority].append(job)
            self._changed.notify()

    def schedule(self, max_batch: int) -> list[Job]:
        """The next jobs worth working on, at most `max_batch`; waits for one. Empty only after close()."""
        with self._changed:
            while True:
                jobs = self._take(max_batch)
                if jobs or self._closed_by is not None:
                    return jobs
                self._changed.wait()

    def close(self, error: QdtsError) -> None:
        """Let nothing in any more and fail what waits, with `error`. Further calls change nothing."""
        with self._changed:
            self._closed_by = self._closed_by or error
            for queue in self._queues.values():
                while queue:
                    queue.popleft().fail(self._closed_by)
            self._changed.notify_all()

    def _take(self, max_batch: int) -> list[Job]:
        jobs: list[Job] = []
        for queue in self._queues.values():
            while queue and len(jobs) < max_batch:
                job = queue.popleft()
                if not job.is_wanted:
                    continue
                if job.deadline.expired:
                    job.fail(DeadlineExceeded("the deadline passed in the queue"))
                    continue
                jobs.append(job)
        return jobs

    def _drop_unwanted(self) -> None:
        """Callers that have gone must not keep others out."""
        for priority, queue in self._queues.items():
            self._queues[priority] = deque(job for job in queue if job.is_wanted)
