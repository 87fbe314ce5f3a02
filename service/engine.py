"""The one thread that owns the model: admit -> schedule -> step -> reply.

One generation lives as long as something is being written. Between two of its steps whoever has gone or run out
of time leaves it, so nothing is spent on an answer that nobody waits for, and those that wait join it: as many as
there are free places for, and of so many tokens that those who are being written do not wait long for them to be read.

A document that cannot be read fails its own job only. After a step that fails those it was for are tried once more, one
by one, and who fails alone has failed; meanwhile nobody joins. After three failures in a row the engine repeats a
prompt that once went well, so that three poisonous documents are told from a broken model; if that fails too, it gives
up. A thread that ends, for whatever reason, fails what is pending and reports it: nobody is left hanging.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from qdts.errors import DeadlineExceeded, QdtsError, Unavailable
from qdts.service import logs
from qdts.service.admission_config import AdmissionConfig
from qdts.service.deadline import Clock, Deadline
from qdts.service.generative import Generation, Summarizer
from qdts.service.metrics import Metrics
from qdts.service.places import Places
from qdts.service.request import Priority
from qdts.service.scheduler import Generated, Job, Prompt, Scheduler
from qdts.service.second_tries import SecondTries, has_time

MAX_FAILURES_IN_A_ROW = 3


class _Contained:
    """A block whose failure is logged and ends there, unless it is meant for the thread (SystemExit and the like)."""

    failed = False

    def __enter__(self) -> "_Contained":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.failed = error is not None
        if error is not None:
            logs.fault("generation_failed", error)
        return isinstance(error, Exception)


class Engine:
    """Runs a summariser in a thread of its own, from start() to stop()."""

    def __init__(
        self,
        summarizer: Summarizer,
        *,
        max_batch: int,
        max_queue: int,
        max_encode_tokens: int,
        admission: AdmissionConfig | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        config = admission or AdmissionConfig()
        self._summarizer = summarizer
        self._scheduler = Scheduler(
            max_queue=max_queue,
            num_unread=self._num_unread,
            config=config,
            on_wait=lambda seconds: self._metrics.observe_wait(seconds),
            clock=clock,
        )
        self._places = Places(max_batch, config)
        self._clock = clock
        self._max_queue = max_queue
        self._max_encode_tokens = max_encode_tokens
        self._on_death: Callable[[], None] = lambda: None
        self._metrics = Metrics()
        self._num_failures = 0
        self._generation: Generation | None = None
        self._open: dict[int, Job] = {}  # by their indices in the generation
        self._arriving: Sequence[Job] = []  # no longer in the queue and not yet in the generation
        self._again = SecondTries()
        self._known_good: Prompt | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self, on_death: Callable[[], None], metrics: Metrics | None = None) -> None:
        """Start the thread. `on_death` is called, from that thread, when it ends without stop()."""
        self._on_death = on_death
        self._metrics = metrics or self._metrics
        self._thread.start()

    def stop(self, error: QdtsError, *, timeout_s: float) -> None:
        """Fail what waits with `error`, let what runs finish, end the thread. Blocks."""
        self._on_death = lambda: None
        self._scheduler.close(error)
        self._thread.join(timeout_s)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def num_waiting(self) -> int:
        """Jobs in the queue."""
        return self._scheduler.num_waiting

    @property
    def num_by_class(self) -> dict[Priority, int]:
        """Jobs in the queue, by class."""
        return self._scheduler.num_by_class

    @property
    def num_running(self) -> int:
        """Jobs that have a place."""
        return len(self._open) + len(self._again) + self._scheduler.num_handed_out

    @property
    def num_places(self) -> int:
        """Jobs that can run at once."""
        return self._places.num_places

    @property
    def capacity(self) -> int:
        """Jobs that can run or wait at once."""
        return self._places.num_places + self._max_queue

    @property
    def num_inside(self) -> int:
        """Jobs expected, waiting and running."""
        return self._places.num_expected + self._scheduler.num_waiting + self.num_running

    @property
    def next_batch(self) -> int:
        """How many would be written at once with one job more."""
        return min(self.num_inside + 1, self.num_places)

    @property
    def taken_s(self) -> float | None:
        """For how long a place is taken, on average; None until the first has come free."""
        return self._places.taken_s

    def wait_s(self, priority: Priority) -> float:
        """How long a new job of this class would wait for a place, by what is known now."""
        queued = self._scheduler.num_by_class
        return self._places.wait_s(priority, num_queued=queued, num_running=self.num_running)

    def expecting(self, priority: Priority) -> AbstractContextManager[None]:
        """Within the block one job more is on its way here, and counted so. Event loop only."""
        return self._places.expecting(priority)

    async def generate(
        self,
        prompt: Prompt,
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        num_tokens: int = 1,
        on_text: Callable[[str], None] | None = None,
    ) -> Generated:
        """The summary for a prompt. Cancel the call to stop the work; on_text gets the text so far.

        `num_tokens` is about what there is to read: what the job counts for in the queue.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Generated] = loop.create_future()
        job = Job(
            prompt=prompt,
            deadline=deadline,
            priority=priority,
            loop=loop,
            future=future,
            on_text=on_text,
            num_tokens=num_tokens,
            queued_at=self._clock(),
        )
        self._scheduler.admit(job)
        return await future

    def _run(self) -> None:
        try:
            while self._is_sound() and self._admit(may_wait=True):
                self._step()
                self._reply()
        finally:
            down = Unavailable("the engine is down")
            self._scheduler.close(down)
            self._fail_all(down)
            self._on_death()

    def _admit(self, *, may_wait: bool) -> bool:
        """Let those join that there is room for, waiting for one where nothing runs. False: there is nothing to do."""
        self._drop_lost()
        self._begin_again()
        if any(job.is_second_try for job in self._open.values()):
            return True
        num_free = self._places.num_places - len(self._open)
        waits = may_wait and not self._open
        jobs = self._scheduler.schedule(num_free, max_tokens=self._max_encode_tokens, waits=waits)
        self._arriving = jobs
        if jobs:
            self._begin(jobs)
            self._metrics.observe_batch(len(self._open))
        self._arriving = []
        self._scheduler.begun()
        return bool(jobs or self._open)

    def _begin_again(self) -> None:
        """Where nothing runs, start the first of those whose batch failed, by itself."""
        if (stopped_by := self._scheduler.closed_by) is not None:
            self._again.fail_all(stopped_by)  # what runs may finish, but nothing is begun any more
        while not self._open and (job := self._again.first) is not None:
            self._begin([job])
            self._again.remove(job)

    def _num_unread(self, prompt: Prompt) -> int:
        with _Contained():
            return self._summarizer.num_unread(prompt)
        return 0  # it will fail when it is read, alone

    def _begin(self, jobs: Sequence[Job]) -> None:
        """Read the documents, at once; where that fails, one by one, so that each job fails for itself only."""
        with _Contained() as reading:
            self._join(jobs)
        if reading.failed and len(jobs) > 1:
            for job in jobs:
                self._begin([job])
        elif reading.failed:
            self._fail(jobs)

    def _join(self, jobs: Sequence[Job]) -> None:
        started_at, prompts = self._clock(), [job.prompt for job in jobs]
        if self._generation is None:
            self._generation, indices = self._summarizer.start(prompts), range(len(jobs))
        else:
            indices = self._generation.join(prompts)
        for index, job in zip(indices, jobs, strict=True):
            job.started_at = started_at
            self._open[index] = job

    def _step(self) -> None:
        """One step for all that are still wanted."""
        self._drop_lost()  # reading takes its time
        with _Contained() as step:
            if self._generation is not None and self._generation.active:
                self._generation.step()
        if step.failed:
            self._give_up([*self._open.values()])

    def _give_up(self, batch: Sequence[Job]) -> None:
        """A step for these has failed. Who was alone in it has failed, others are tried again if there is time."""
        now, again = self._clock(), list[Job]()
        if len(batch) > 1:
            again = [job for job in batch if has_time(job, took_s=now - job.started_at, batch=len(batch))]
        self._again.add(again)  # first, so that they are counted all the time
        self._open, self._generation = {}, None
        if failed := [job for job in batch if job not in again]:
            self._fail(failed)  # what failed as a batch is no failure yet: each alone will tell

    def _reply(self) -> None:
        """Tell everybody what there is: the text so far, or the summary."""
        if self._generation is None:
            return
        active = frozenset(self._generation.active)
        for index, job in [*self._open.items()]:
            with _Contained() as reply:
                if index not in active:
                    self._finish(self._generation, index)
                elif job.on_text is not None:
                    job.show(self._generation.text(index))
            if reply.failed:
                self._fail([self._close(index)])
        if not self._open:
            self._generation = None

    def _finish(self, generation: Generation, index: int) -> None:
        job, summary = self._open[index], generation.summary(index)  # may fail: then the job is still open
        if job.is_second_try and not summary.text.startswith(job.shown):
            raise Unavailable("alone it is written differently, and its caller has seen the beginning")
        generated = Generated(
            summary=summary,
            queue_ms=(job.started_at - job.queued_at) * 1000,
            encode_ms=generation.encode_ms(index),
            decode_ms=generation.decode_ms(index),
        )
        self._close(index)  # first: whoever is answered must not find its own job still counted
        job.finish(generated)
        self._num_failures = 0
        self._known_good = self._known_good or job.prompt

    def _close(self, index: int) -> Job:
        """Give up the job's place."""
        assert self._generation is not None
        self._generation.release(index)
        job = self._open.pop(index)
        self._places.came_free(self._clock() - job.started_at)
        return job

    def _drop_lost(self) -> None:
        """Spend nothing more on those that are gone or out of time."""
        for index, job in [*self._open.items()]:
            if not job.is_wanted or job.deadline.expired:
                self._close(index)
                job.fail(DeadlineExceeded("the deadline passed while the summary was being written"))
        self._again.drop_lost()
        if not self._open:
            self._generation = None

    def _fail(self, jobs: Sequence[Job]) -> None:
        """One failure more, of these jobs."""
        self._num_failures += 1
        for job in jobs:
            job.fail(Unavailable("the generation failed"))

    def _fail_all(self, error: QdtsError) -> None:
        jobs = [*self._open.values(), *self._arriving]
        self._open, self._arriving, self._generation = {}, [], None
        for job in jobs:
            job.fail(error)
        self._again.fail_all(error)

    def _is_sound(self) -> bool:
        """Whether the model may go on: after too many failures in a row, if it still does what it once did."""
        if self._num_failures < MAX_FAILURES_IN_A_ROW:
            return True
        if self._known_good is None:
            return False
        with _Contained() as trial:
            generation = self._summarizer.start([self._known_good])
            while generation.active:
                generation.step()
        self._num_failures = 0
        return not trial.failed
