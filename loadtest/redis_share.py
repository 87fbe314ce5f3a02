"""What Redis took of each request to a server of this process: all its calls and its waits for leases, added up."""

import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from qdts.service.cache import Entry
from qdts.service.cache_levels import Claim
from qdts.service.deadline import Deadline
from qdts.service.ladder import OnText
from qdts.service.redis.replies import RedisReplies
from qdts.service.reply import Reply
from qdts.service.request import Request
from qdts.service.serving import Serving

_Result = TypeVar("_Result")
# Of the request that is being answered. Tasks that are begun for it have it, too: one piece of work for several who ask
# the same counts for the first of them.
_parts_ms: ContextVar[list[float]] = ContextVar("parts_ms")


@contextmanager
def measured_shares() -> Iterator[list[float]]:
    """Milliseconds by request that ends within it, in a list that grows; 0.0 for one that did not wait for Redis."""
    shares_ms: list[float] = []
    answer, get, claim = Serving.answer, RedisReplies.get, RedisReplies.claim

    async def answer_measured(
        self: Serving, request: Request, deadline: Deadline, on_text: OnText | None = None
    ) -> Reply:
        parts_ms: list[float] = []
        token = _parts_ms.set(parts_ms)
        try:
            return await answer(self, request, deadline, on_text)
        finally:
            _parts_ms.reset(token)
            shares_ms.append(sum(parts_ms))

    async def get_measured(self: RedisReplies, key: bytes, deadline: Deadline) -> Entry | None:
        return await _measured(get(self, key, deadline))

    async def claim_measured(self: RedisReplies, key: bytes, deadline: Deadline) -> Claim:
        return await _measured(claim(self, key, deadline))

    Serving.answer, RedisReplies.get, RedisReplies.claim = answer_measured, get_measured, claim_measured
    try:
        yield shares_ms
    finally:
        Serving.answer, RedisReplies.get, RedisReplies.claim = answer, get, claim


async def _measured(waiting: Awaitable[_Result]) -> _Result:
    started_at = time.perf_counter()
    try:
        return await waiting
    finally:
        _parts_ms.get([]).append(1000 * (time.perf_counter() - started_at))
