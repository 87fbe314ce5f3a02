"""Several engines as one: a call goes where it is predicted to wait least.

Where engines keep what they have read, the same document goes to the same engine, unless another would have it written
sooner by more than a place is taken. A call whose engine dies is not sent to the next: what killed one may kill all.
An engine that was lost is connected to again while others go on; when all are lost, the pool has died. All run one
model: an engine that was started again where files had been replaced, and runs another, is not asked.
"""

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from qdts.errors import Draining, QdtsError, Unavailable
from qdts.service import logs
from qdts.service.admission_config import AdmissionConfig
from qdts.service.deadline import Deadline
from qdts.service.metrics import Metrics
from qdts.service.places import GUESS_S, Places
from qdts.service.processes.messages import EngineFacts
from qdts.service.processes.reader import PackedPrompt
from qdts.service.processes.remote_engine import RemoteEngine
from qdts.service.request import Priority
from qdts.service.scheduler import Generated

# Between two attempts to connect to an engine that was lost
RETRY_S = 0.1
# As much, where the last one ran another model: that may last until it is replaced.
REFUSED_RETRY_S = 1.0

Connect = Callable[[int], Awaitable[RemoteEngine]]


class EnginePool:
    """As service.engine.Engine, but for its start: open(). Event loop only, but for stop()."""

    def __init__(self, num_engines: int, connect: Connect, config: AdmissionConfig, *, is_sticky: bool) -> None:
        self._num_engines, self._connect, self._is_sticky = num_engines, connect, is_sticky
        self._engines: dict[int, RemoteEngine] = {}
        self._places = Places(1, config)
        self._loop = asyncio.get_running_loop()
        self._on_death: Callable[[], None] = lambda: None
        self._reconnecting: dict[int, asyncio.Task[None]] = {}
        self._refused: dict[int, str] = {}  # which other model the last one ran
        self._facts: EngineFacts | None = None
        self._is_closed = False

    async def open(self) -> EngineFacts:
        """Connect to all; those that are not there are tried further. Unavailable if none is."""
        answers = await self._connect_all()
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        for index, answer in enumerate(answers):
            if isinstance(answer, RemoteEngine):
                await self._add(index, answer)
        unexpected = [failure for failure in failures if not isinstance(failure, Unavailable)]
        if unexpected or self._facts is None or not self._engines:
            await self.close(Draining("closed"), timeout_s=0)
            # Without a failure all have gone since they were connected to.
            raise [*unexpected, *failures, Unavailable("no engine is there")][0]
        for index in set(range(self._num_engines)) - set(self._engines):
            self._reconnect(index)
        return self._facts

    def start(self, on_death: Callable[[], None], metrics: Metrics | None = None) -> None:
        """`on_death` is called when the last connection is lost without stop(); at once if it is lost already.

        Engines count for themselves: `metrics` get nothing.
        """
        del metrics
        self._on_death = on_death
        if not self.is_alive:
            on_death()

    def stop(self, error: QdtsError, *, timeout_s: float) -> None:
        """Send nothing more, wait for what is in flight, fail the rest with `error`, disconnect. Any other thread's."""
        asyncio.run_coroutine_threadsafe(self.close(error, timeout_s=timeout_s), self._loop).result()

    async def close(self, error: QdtsError, *, timeout_s: float) -> None:
        """As stop, for the event loop."""
        self._is_closed = True
        tasks = [*self._reconnecting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(engine.close(error, timeout_s=timeout_s) for engine in self._engines.values()))

    @property
    def is_alive(self) -> bool:
        """Whether any is connected."""
        return any(engine.is_alive for engine in self._engines.values())

    @property
    def num_waiting(self) -> int:
        """Jobs in their queues."""
        return sum(engine.num_waiting for engine in self._engines.values())

    @property
    def num_by_class(self) -> dict[Priority, int]:
        """Jobs in their queues, by class."""
        queues = [engine.num_by_class for engine in self._engines.values()]
        return {priority: sum(queue[priority] for queue in queues) for priority in Priority}

    @property
    def num_running(self) -> int:
        """Jobs that they are writing."""
        return sum(engine.num_running for engine in self._engines.values())

    @property
    def num_places(self) -> int:
        """Jobs that can run at once, where all are there."""
        return self._num_engines * self._facts.num_places if self._facts is not None else 1

    @property
    def capacity(self) -> int:
        """Jobs that can run or wait at once, where all are there."""
        queue = self._facts.max_queue if self._facts is not None else 0
        return self.num_places + self._num_engines * queue

    @property
    def num_inside(self) -> int:
        """Jobs expected, waiting and running."""
        return self._places.num_expected + sum(engine.num_inside for engine in self._engines.values())

    @property
    def next_batch(self) -> int:
        """How many would be written at once with one job more, where that would go."""
        num_engines = max(1, len(self._engines))
        most = self._facts.num_places if self._facts is not None else 1
        return min(self.num_inside // num_engines + 1, most)

    def wait_s(self, priority: Priority) -> float:
        """How long a new job of this class would wait for a place, by what is known now."""
        engines = [*self._engines.values()]
        times = [taken_s for engine in engines if (taken_s := engine.taken_s) is not None]
        self._places.told(
            num_places=sum(engine.num_places for engine in engines) or 1,
            taken_s=sum(times) / len(times) if times else None,
        )
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
        """The summary for a prompt, from one of them. Unavailable if none may be asked."""
        engine = self._choose(prompt, priority)
        return await engine.generate(
            prompt, deadline=deadline, priority=priority, num_tokens=num_tokens, on_text=on_text
        )

    def _choose(self, prompt: PackedPrompt, priority: Priority) -> RemoteEngine:
        if len(self._engines) == 1:
            [only] = self._engines.values()
            return only
        waits = {index: engine.wait_s(priority) for index, engine in self._engines.items() if engine.is_ready}
        if not waits:
            raise Unavailable("no engine is there")
        first = min(waits, key=lambda index: (waits[index], self._engines[index].num_inside, index))
        if self._is_sticky:
            own = max(waits, key=lambda index: zlib.crc32(b"%d %d" % (index, prompt.key)))
            worth_s = self._engines[own].taken_s or GUESS_S
            first = own if waits[own] <= waits[first] + worth_s else first
        return self._engines[first]

    async def _connect_all(self) -> list[RemoteEngine | BaseException]:
        """Who is there, by index, or what is wrong. Who gives up leaves no connection."""
        connecting = [asyncio.ensure_future(self._connect(index)) for index in range(self._num_engines)]
        try:
            return await asyncio.gather(*connecting, return_exceptions=True)
        except asyncio.CancelledError:
            for each in connecting:
                if not each.cancelled() and each.exception() is None:
                    await each.result().close(Draining("closed"), timeout_s=0)
            raise

    async def _add(self, index: int, engine: RemoteEngine) -> None:
        """Whether it is there then, is seen by _engines: it may have gone already, or run another model."""
        if self._facts is not None and engine.facts.version != self._facts.version:
            return await self._refuse(index, engine, self._facts.version)
        self._refused.pop(index, None)
        self._engines[index] = engine
        engine.start(lambda: self._lost(index, engine))
        if index in self._engines:
            self._facts = self._facts or engine.facts

    async def _refuse(self, index: int, engine: RemoteEngine, expected: str) -> None:
        version = engine.facts.version
        if self._refused.get(index) != version:
            logs.warning("engine_refused", engine=index, model=version, expected=expected)
        self._refused[index] = version
        await engine.close(Draining("closed"), timeout_s=0)

    def _lost(self, index: int, engine: RemoteEngine) -> None:
        if self._engines.get(index) is not engine:
            return
        del self._engines[index]
        if self._is_closed:
            return
        if self._engines:
            logs.warning("engine_lost", engine=index, left=len(self._engines))
            self._reconnect(index)
        else:
            self._on_death()

    def _reconnect(self, index: int) -> None:
        """Look for it until it is there, unless it is looked for already."""
        looking = self._reconnecting.get(index)
        if looking is None or looking.done():
            self._reconnecting[index] = asyncio.ensure_future(self._try_until_there(index))

    async def _try_until_there(self, index: int) -> None:
        while index not in self._engines:
            await asyncio.sleep(REFUSED_RETRY_S if index in self._refused else RETRY_S)
            with contextlib.suppress(Unavailable):
                await self._add(index, await self._connect(index))
        logs.info("engine_found", engine=index)
