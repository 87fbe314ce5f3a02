"""A second model that is asked some questions again, once they have been answered: do the two agree? Only counted.

Nobody waits for it and nothing it does reaches a caller. It is asked one question at a time, so what it costs others
is bounded by one more writer on the machine.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from qdts.service.comparison import Comparison, compare
from qdts.service.deadline import Deadline
from qdts.service.ladder import Ladder
from qdts.service.limits import require_between
from qdts.service.reply import CacheStatus, Reply, Rung
from qdts.service.request import Priority, Request

ANSWER_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowConfig:
    """Which model, as engine.model names one ("": none), and of how many answers it is asked for its own."""

    model: str = ""
    share: float = 0.01

    def __post_init__(self) -> None:
        require_between("shadow.share", self.share, 0, 1)


class Shadow:
    """Asks a ladder of its own until close(). Event loop only.

    `count` is told how each of its answers compares.
    """

    def __init__(
        self,
        ladder: Ladder,
        *,
        share: float,
        count: Callable[[Comparison], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ladder, self._share = ladder, share
        self._count, self._chance = count, chance
        self._asking: asyncio.Task[None] | None = None

    def observe(self, request: Request, reply: Reply) -> None:
        """A request and what was answered; whether it is asked again is left to chance."""
        is_new = reply.cache_status in (CacheStatus.MISS, CacheStatus.BYPASS)
        is_busy = self._asking is not None and not self._asking.done()
        if reply.rung is Rung.FULL and is_new and not is_busy and self._chance() < self._share:
            self._asking = asyncio.ensure_future(self._ask(request, reply))

    def close(self) -> None:
        """Ask no more. Ending the engine is left to whoever started it."""
        self._share = 0.0
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self, request: Request, reply: Reply) -> None:
        again = replace(request, priority=Priority.BULK)
        self._count(compare(reply, await self._ladder.climb(again, Deadline.after(ANSWER_S))))
