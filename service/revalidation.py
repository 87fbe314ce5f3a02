"""Making stale replies anew in the background, while they still answer. A bounded number, and seldom for one key."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from qdts.errors import QdtsError
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.deadline import Deadline
from qdts.service.reply import Reply

Make = Callable[[Deadline], Awaitable[Reply]]

# As long as the callers of old had, about: nobody waits for it.
REVALIDATE_S = 2.0
# One that did not succeed is not tried again sooner.
PAUSE_S = 1.0
# Keys being made anew, or waiting for their pause to end.
MAX_KEYS = 64


class Revalidation:
    """Work by keys. One event loop's."""

    def __init__(self, metrics: CacheMetrics, *, pause_s: float = PAUSE_S) -> None:
        self._metrics = metrics
        self._pause_s = pause_s
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    def start(self, key: bytes, make: Make) -> None:
        """Have make(deadline) called, unless that is going on, was just tried, or there is too much of it."""
        if key in self._tasks or len(self._tasks) >= MAX_KEYS:
            return
        self._metrics.observe_revalidation()
        self._tasks[key] = task = asyncio.ensure_future(self._run(make))
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    def close(self) -> None:
        """Stop all of it."""
        for task in self._tasks.values():
            task.cancel()

    async def _run(self, make: Make) -> None:
        with contextlib.suppress(QdtsError):  # nobody waits for it
            await make(Deadline.after(REVALIDATE_S))
        await asyncio.sleep(self._pause_s)
