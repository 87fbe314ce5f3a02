"""An engine in another process, as a front sees it: a connection for calls, a board for how busy it is.

What is in flight when the connection is lost fails at once. What the board says is believed while it is fresh; without
it a front counts its own calls, and sends no more.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy

from qdts.errors import DeadlineExceeded, Draining, QdtsError, Unavailable
from qdts.service.admission_config import AdmissionConfig
from qdts.service.deadline import Clock, Deadline
from qdts.service.metrics import Metrics
from qdts.service.places import Places
from qdts.service.processes import frames, messages
from qdts.service.processes.addresses import Addresses
from qdts.service.processes.board import STALE_S, BoardReader, Load
from qdts.service.processes.frames import Kind
from qdts.service.processes.link import Link, Waiting
from qdts.service.processes.messages import Call, EngineFacts
from qdts.service.processes.reader import PackedPrompt
from qdts.service.request import Priority
from qdts.service.scheduler import Generated

# For an engine to say what it is
GREETING_S = 5.0
# Bytes that an engine has not taken: above, no call is sent to it.
MAX_UNSENT = 16 << 20


class RemoteEngine:
    """As service.engine.Engine, but for its start: connect(). Event loop only, but for stop()."""

    def __init__(self, link: Link, board: BoardReader, facts: EngineFacts, config: AdmissionConfig) -> None:
        self._link, self._board = link, board
        self.facts = facts
        self._places = Places(facts.num_places, config)
        self._clock: Clock = time.monotonic
        self._numbers = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self._closed_by: QdtsError | None = None

    @classmethod
    async def connect(
        cls, addresses: Addresses, generation: int, index: int, config: AdmissionConfig
    ) -> "RemoteEngine":
        """To that engine; Unavailable if it is not there."""
        link, path = Link(), addresses.socket(generation, index)
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            undo.callback(link.abort)  # also where this is cancelled,
            undo.callback(link.greeted.cancel)  # and nobody asks any more what became of it
            try:
                await loop.create_unix_connection(lambda: link, str(path))
                async with asyncio.timeout(GREETING_S):
                    facts = await link.greeted
            except (OSError, TimeoutError) as error:
                raise Unavailable(f"no engine listens at {path.name}") from error
            # Now it is that of the engine that has greeted: earlier it might be the one before's, who is gone.
            board = BoardReader(addresses.board(generation, index))
            undo.pop_all()
        return cls(link, board, facts, config)

    def start(self, on_death: Callable[[], None], metrics: Metrics | None = None) -> None:
        """`on_death` is called when the connection is lost without stop(); at once if it is lost already.

        The engine counts for itself: `metrics` get nothing.
        """
        del metrics
        self._link.on_death = on_death
        if not self._link.is_open:
            on_death()

    def stop(self, error: QdtsError, *, timeout_s: float) -> None:
        """Send nothing more, wait for what is in flight, fail the rest with `error`, disconnect. Any other thread's."""
        closing = asyncio.run_coroutine_threadsafe(self.close(error, timeout_s=timeout_s), self._loop)
        closing.result()

    async def close(self, error: QdtsError, *, timeout_s: float) -> None:
        """As stop, for the event loop."""
        self._closed_by = self._closed_by or error
        self._link.on_death = lambda: None
        if self._link.calls and self._link.is_open:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._link.idle.wait(), timeout_s)
        self._link.close(error)
        self._board.close()

    @property
    def is_alive(self) -> bool:
        """Whether it is connected."""
        return self._link.is_open

    @property
    def is_ready(self) -> bool:
        """Whether it may be sent calls: it is connected, says that it lives, and does not say that it ends."""
        load = self._fresh_load()
        return self.is_alive and self._closed_by is None and load is not None and not load.is_draining

    @property
    def num_waiting(self) -> int:
        """Jobs in its queue, all fronts' together."""
        return sum(self.num_by_class.values())

    @property
    def num_running(self) -> int:
        """Jobs that it is writing, all fronts' together."""
        load = self._fresh_load()
        return load.num_running if load is not None else min(len(self._link.calls), self.num_places)

    @property
    def num_by_class(self) -> dict[Priority, int]:
        """Jobs in its queue by class; those that were sent and that it has not seen yet as interactive ones."""
        load = self._fresh_load()
        queued = dict(load.queued) if load is not None else dict.fromkeys(Priority, 0)
        num_inside = load.num_inside if load is not None else self.num_running
        queued[Priority.INTERACTIVE] += max(0, len(self._link.calls) - num_inside)
        return queued

    @property
    def num_places(self) -> int:
        """Jobs that can run at once."""
        return self.facts.num_places

    @property
    def capacity(self) -> int:
        """Jobs that can run or wait at once."""
        return self.facts.num_places + self.facts.max_queue

    @property
    def num_inside(self) -> int:
        """Jobs expected, waiting and running."""
        return self._places.num_expected + self.num_waiting + self.num_running

    @property
    def next_batch(self) -> int:
        """How many would be written at once with one job more."""
        return min(self.num_inside + 1, self.num_places)

    @property
    def taken_s(self) -> float | None:
        """For how long a place is taken, on average; None until the first has come free."""
        load = self._fresh_load()
        return load.taken_s if load is not None else None

    def wait_s(self, priority: Priority) -> float:
        """How long a new job of this class would wait for a place, by what is known now."""
        self._places.told(num_places=self.num_places, taken_s=self.taken_s)
        return self._places.wait_s(priority, num_queued=self.num_by_class, num_running=self.num_running)

    def expecting(self, priority: Priority) -> AbstractContextManager[None]:
        """Within the block one job more is on its way here, and counted so."""
        return self._places.expecting(priority)

    async def generate(
        self,
        prompt: PackedPrompt,
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        num_tokens: int = 1,
        on_text: Callable[[str], None] | None = None,
    ) -> Generated:
        """The summary for a prompt. Cancel the call to stop the work there; on_text gets the text so far."""
        self._check()
        call = Call(
            prompt=prompt.data,
            deadline_at=deadline.at,
            priority=priority,
            num_tokens=num_tokens,
            wants_text=on_text is not None,
        )
        number, future = next(self._numbers), self._loop.create_future()
        self._link.send(frames.encode(Kind.GENERATE, number, messages.pack_call(call)))
        self._link.calls[number] = Waiting(future, on_text)
        self._link.idle.clear()
        try:
            async with asyncio.timeout(deadline.remaining_s):
                return await future
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the engine had answered") from error
        finally:
            self._link.forget(number, is_cancelled=future.cancelled())

    def _check(self) -> None:
        if self._closed_by is not None:
            # A copy for each: one that is raised again and again keeps the frames of all who got it.
            raise copy(self._closed_by)
        if not self.is_alive:
            raise Unavailable("the engine is gone")
        load = self._fresh_load()
        if load is None:
            raise Unavailable(f"the engine has said nothing for {STALE_S:g} s")
        if load.is_draining:
            raise Draining("the engine is about to end")
        if self._link.num_unsent > MAX_UNSENT:
            raise Unavailable("the engine does not take what it was sent")

    def _fresh_load(self) -> Load | None:
        """What the engine says, None if that is old."""
        load = self._board.read() if self._closed_by is None else None
        return load if load is not None and load.age_s(self._clock) <= STALE_S else None
