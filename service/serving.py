"""One model's way of answering, as long as calls are on it. What is taken out of service leaves by close()."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from qdts.errors import Draining
from qdts.service.answering import Answerer
from qdts.service.deadline import Deadline
from qdts.service.engine_face import EngineFace
from qdts.service.ladder import Ladder, OnText
from qdts.service.reply import Reply
from qdts.service.request import Request
from qdts.service.tracing import NoTracer, Tracer

ENGINE_STOP_S = 5.0


class Serving:
    """An answerer, the engine it needs, if any, and how many calls are on it. Event loop only."""

    def __init__(
        self,
        answerer: Answerer,
        engine: EngineFace | None,
        *,
        tracer: Tracer | None = None,
        on_reply: Callable[[Request, Reply], None] = lambda request, reply: None,
    ) -> None:
        self._answerer = answerer
        self._engine = engine
        self._tracer = tracer or NoTracer()
        self._on_reply = on_reply
        self._num_running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def ladder(self) -> Ladder:
        """What makes the replies."""
        return self._answerer.ladder

    @property
    def is_whole(self) -> bool:
        """Whether its engine runs, if it has one."""
        return self._engine is None or self._engine.is_alive

    @property
    def engine(self) -> EngineFace | None:
        """What runs the model, if there is one."""
        return self._engine

    @property
    def num_waiting(self) -> int:
        """Requests in its engine's queue."""
        return 0 if self._engine is None else self._engine.num_waiting

    @property
    def version(self) -> str | None:
        """The model's, if there is one."""
        generator = self.ladder.generator
        return generator.summarizer.version if generator is not None else None

    async def answer(self, request: Request, deadline: Deadline, on_text: OnText | None = None) -> Reply:
        """As the answerer's."""
        started_ns = time.time_ns()
        with self._running():
            reply = await self._answerer.answer(request, deadline, on_text)
        self._tracer.answered(reply, started_ns=started_ns)
        self._on_reply(request, reply)
        return reply

    async def propose(self, request: Request, deadline: Deadline, on_text: OnText | None = None) -> Reply:
        """As the answerer's: what another that answers may give as its own."""
        with self._running():
            return await self._answerer.propose(request, deadline, on_text)

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        self._num_running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._num_running -= 1
            if not self._num_running:
                self._idle.set()

    async def retire(self, *, within_s: float) -> None:
        """Wait for the calls that are on it, but no longer than that, and close."""
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), within_s)
        finally:
            await self.close()

    async def close(self) -> None:
        """Make nothing anew, end the engine's thread; what it is writing is finished, if that does not take long."""
        self._answerer.close()
        if self._engine is not None:
            error = Draining("the server is about to exit")
            await asyncio.to_thread(self._engine.stop, error, timeout_s=ENGINE_STOP_S)
