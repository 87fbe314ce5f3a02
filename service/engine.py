"""The one thread that owns the model: admit -> schedule -> step -> reply.

Between two steps it drops whoever has gone or run out of time, so nothing is spent on an answer that nobody
waits for. A generation that fails fails its own jobs only. After three in a row the engine repeats a prompt
that once went well, so that three poisonous documents are told from a broken model; if that fails too, it
gives up. A thread that ends, for whatever reason, fails what is pending and reports it: nobody is left
hanging.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from qdts.errors import DeadlineExceeded, QdtsError, Unavailable
from qdts.models.document import Document, Summary
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service import logs
from qdts.service.deadline import Deadline
from qdts.service.request import Priority
from qdts.service.scheduler import Generated, Job, Prompt, Scheduler

MAX_FAILURES_IN_A_ROW = 3


class Generation(Protocol):
    """Sequences being written; qdts.models.summarizer has the real one."""

    @property
    def active(self) -> tuple[int, ...]:
        """Indices of the unfinished ones."""
        ...

    @property
    def encode_ms(self) -> float: ...

    @property
    def decode_ms(self) -> float: ...

    def step(self) -> None:
        """One model step for all active ones."""
        ...

    def cancel(self, index: int) -> None:
        """Spend nothing on this one any more."""
        ...

    def text(self, index: int) -> str:
        """What is written so far."""
        ...

    def summary(self, index: int) -> Summary:
        """The result of a finished one."""
        ...


class Summarizer(Protocol):
    """A generative model: blocking, and but for prepare() not thread-safe."""

    @property
    def version(self) -> str: ...

    @property
    def info(self) -> RuntimeInfo: ...

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> Prompt:
        """Text work; may run in any thread."""
        ...

    def start(self, prompts: Sequence[Prompt]) -> Generation:
        """Encode."""
        ...


class _Batch:
    """The jobs of one generation. Leaving the block answers those still open, whatever ended it."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.open = dict(enumerate(jobs))
        self.failed = False

    def __enter__(self) -> "_Batch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.failed = error is not None
        if error is not None:
            logs.fault("generation_failed", error)
        while self.open:
            self.open.popitem()[1].fail(Unavailable("the generation failed"))
        # Contained, unless it is meant for the thread (SystemExit and the like).
        return isinstance(error, Exception)


class Engine:
    """Runs a summariser in a thread of its own, from start() to stop()."""

    def __init__(
        self,
        summarizer: Summarizer,
        *,
        max_batch: int,
        max_queue: int,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._summarizer = summarizer
        self._scheduler = Scheduler(max_queue=max_queue)
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._on_death: Callable[[], None] = lambda: None
        self._num_failures = 0
        self._num_expected = 0
        self._running = _Batch([])
        self._known_good: Prompt | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self, on_death: Callable[[], None]) -> None:
        """Start the thread. `on_death` is called, from that thread, when it ends without stop()."""
        self._on_death = on_death
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
    def num_batches_ahead(self) -> int:
        """Batches, expected, waiting or running, that a new job has to wait for."""
        num_ahead = self._num_expected + self._scheduler.num_waiting + len(self._running.open)
        return -(-num_ahead // self._max_batch)

    @property
    def num_waiting(self) -> int:
        """Jobs in the queue."""
        return self._scheduler.num_waiting

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Within the block one job more is on its way here, and counted so. Event loop only."""
        self._num_expected += 1
        try:
            yield
        finally:
            self._num_expected -= 1

    async def generate(
        self,
        prompt: Prompt,
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        on_text: Callable[[str], None] | None = None,
    ) -> Generated:
        """The summary for a prompt. Cancel the call to stop the work; on_text gets the text so far."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Generated] = loop.create_future()
        job = Job(prompt=prompt, deadline=deadline, priority=priority, loop=loop, future=future, on_text=on_text)
        self._scheduler.admit(job)
        return await future

    def _run(self) -> None:
        try:
            while jobs := self._scheduler.schedule(self._max_batch):
                self._generate(jobs)
                if self._num_failures >= MAX_FAILURES_IN_A_ROW and not self._is_sound():
                    break
        finally:
            self._scheduler.close(Unavailable("the engine is down"))
            self._on_death()

    def _generate(self, jobs: Sequence[Job]) -> None:
        self._on_batch(len(jobs))
        self._running = _Batch(jobs)
        with self._running as batch:
            self._decode(batch, started_at=time.monotonic())
        self._num_failures = self._num_failures + 1 if batch.failed else 0
        if not batch.failed and self._known_good is None:
            self._known_good = jobs[0].prompt

    def _is_sound(self) -> bool:
        """Whether the model still does what it once did."""
        if self._known_good is None:
            return False
        with _Batch([]) as trial:
            generation = self._summarizer.start([self._known_good])
            while generation.active:
                generation.step()
        self._num_failures = 0
        return not trial.failed

    def _decode(self, batch: _Batch, started_at: float) -> None:
        generation = self._summarizer.start([job.prompt for job in batch.open.values()])
        _reply(generation, batch, started_at)
        _drop_lost(generation, batch)  # encoding takes its time
        while generation.active:
            generation.step()
            _reply(generation, batch, started_at)
            _drop_lost(generation, batch)


def _drop_lost(generation: Generation, batch: _Batch) -> None:
    for index in generation.active:
        job = batch.open[index]
        if job.is_wanted and not job.deadline.expired:
            continue
        generation.cancel(index)
        del batch.open[index]
        job.fail(DeadlineExceeded("the deadline passed while the summary was being written"))


def _reply(generation: Generation, batch: _Batch, started_at: float) -> None:
    active = frozenset(generation.active)
    for index, job in list(batch.open.items()):
        if index in active:
            if job.on_text is not None:
                job.show(generation.text(index))
            continue
        generated = Generated(
            summary=generation.summary(index),  # may fail: then the job is still open, and is failed
            queue_ms=(started_at - job.queued_at) * 1000,
            encode_ms=generation.encode_ms,
            decode_ms=generation.decode_ms,
        )
        del batch.open[index]  # first: whoever is answered must not find its own job still counted
        job.finish(generated)
