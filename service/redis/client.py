"""Calls to Redis that cost a request its budget at most and never fail: what does not answer in time is absent.

A call runs in a task of its own. When its time is up its caller goes on without it, and the task ends by itself: what
it was waiting for, a connection being opened or a slow answer, is there for the next one. Reading and writing have a
breaker each, for a full or read-only Redis still answers what it holds. Whether an open one may close is tried beside
requests: none waits for a Redis that is not known to answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from redis import exceptions

from qdts.service import logs
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.deadline import Deadline
from qdts.service.redis.breaker import Breaker, BreakerState
from qdts.service.redis.commands import Commands

_Result = TypeVar("_Result")
# For what no request waits for.
BACKGROUND_S = 0.25
# Of the budget, kept back for the event loop to get back to who waits.
WAKE_SHARE = 0.1
# Compare and delete: a lease that has run out may be another's by now.
_RELEASE = 'if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) else return 0 end'
# The first that fits names the kind; what is none of them is not RESP.
_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (exceptions.TimeoutError, "timeout"),
    (exceptions.AuthenticationError, "auth"),
    (exceptions.AuthorizationError, "auth"),
    (exceptions.NoPermissionError, "auth"),
    (exceptions.ReadOnlyError, "read_only"),
    (exceptions.OutOfMemoryError, "out_of_memory"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.ConnectionError, "connection"),
    (exceptions.ResponseError, "refused"),
    (OSError, "connection"),
)


class Side(StrEnum):
    """What a call does."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of all calls: seconds each may add, how many run at once, when a breaker opens and for how long."""

    budget_s: float = 0.005
    max_at_once: int = 32
    max_failures: int = 5
    open_s: float = 1.0


class _Call(Generic[_Result]):
    """One call, from when it waits for its place."""

    def __init__(self, work: Callable[[], Awaitable[_Result]], places: asyncio.Semaphore) -> None:
        self._work = work
        self._places = places
        self.has_begun = False

    async def run(self) -> _Result:
        """Wait for a place, then call."""
        async with self._places:
            self.has_begun = True
            return await self._work()


class RedisClient:
    """One event loop's. Answers None for what is not there and for what Redis did not say."""

    def __init__(
        self,
        commands: Commands,
        bounds: Bounds,
        metrics: CacheMetrics,
        *,
        scrap: str = "qdts:scrap",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`scrap` is the name of a key that nobody needs, to try writing with."""
        self._commands = commands
        self._bounds = bounds
        self._metrics = metrics
        self._scrap = scrap
        self._places = asyncio.Semaphore(bounds.max_at_once)
        self._running: set[asyncio.Task[object]] = set()
        self._breakers = {side: self._breaker(side, clock) for side in Side}

    def state(self, side: Side) -> BreakerState:
        """Of the breaker on that side."""
        return self._breakers[side].state

    @property
    def budget_s(self) -> float:
        """What one call may add to a request."""
        return self._bounds.budget_s

    async def open(self, timeout_s: float) -> bool:
        """Open a connection before the first request needs it; whether Redis is there."""
        return bool(await self._ask(Side.READ, self._commands.ping, Deadline.after(timeout_s), timeout_s))

    async def get(self, name: str, deadline: Deadline) -> bytes | None:
        """The value under `name`."""

        async def work() -> bytes | None:
            return _value(await self._commands.get(name))

        return await self._ask(Side.READ, work, deadline)

    async def set(self, name: str, value: bytes, *, ttl_s: float) -> bool:
        """Keep `value`; whether it is there now. For the background."""

        async def work() -> bool:
            return bool(await self._commands.set(name, value, px=max(1, round(1000 * ttl_s))))

        return bool(await self._ask(Side.WRITE, work, Deadline.after(BACKGROUND_S), BACKGROUND_S))

    async def take_lease(
        self, lease: str, name: str, token: bytes, *, lease_ms: int, deadline: Deadline
    ) -> tuple[bool, bytes | None] | None:
        """Whether the lease is ours now, and the value under `name`, looked up after that.

        Not asked of a Redis that did not answer when it was last read: a request waits for it once.
        """
        if not self._breakers[Side.READ].is_well:
            self._metrics.observe_error(Side.WRITE, "unwell")
            return None

        async def work() -> tuple[bool, bytes | None]:
            pipeline = self._commands.pipeline(transaction=False)
            try:
                pipeline.set(lease, token, px=lease_ms, nx=True)
                pipeline.get(name)
                taken, value = await pipeline.execute()
            finally:
                await pipeline.reset()
            return bool(taken), _value(value)

        return await self._ask(Side.WRITE, work, deadline)

    async def release(self, lease: str, token: bytes) -> None:
        """Give a lease back, if it is still ours. For the background."""

        async def work() -> object:
            return await self._commands.eval(_RELEASE, 1, lease, token)

        await self._ask(Side.WRITE, work, Deadline.after(BACKGROUND_S), BACKGROUND_S)

    async def close(self) -> None:
        """Drop what still runs, and the connections."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._commands.aclose()

    async def _ask(
        self, side: Side, work: Callable[[], Awaitable[_Result]], deadline: Deadline, budget_s: float | None = None
    ) -> _Result | None:
        """`budget_s` None: a request waits for it, and no longer than one may."""
        is_waited_for, budget_s = budget_s is None, budget_s or self._bounds.budget_s
        allowed_s = min(budget_s, deadline.remaining_s)
        if allowed_s <= 0 or not self._may_ask(side):
            self._metrics.observe_error(side, "no_time" if allowed_s <= 0 else "open")
            return None
        started_at = time.monotonic()
        call = _Call(work, self._places)
        task = self._start(call.run())
        try:
            await asyncio.wait({task}, timeout=(1 - WAKE_SHARE) * allowed_s)
        finally:
            if is_waited_for:
                self._metrics.observe_added(side, time.monotonic() - started_at)
            if not call.has_begun:
                task.cancel()
        if task.done():
            return self._outcome(side, task)
        self._observe_late(side, has_begun=call.has_begun, had_budget=allowed_s >= budget_s)
        return None

    def _may_ask(self, side: Side) -> bool:
        """Whether the breaker is closed; it is the time to try, if it is not and that is due."""
        breaker = self._breakers[side]
        if breaker.state is not BreakerState.CLOSED and breaker.allows():
            self._start(self._probe(side))
        return breaker.state is BreakerState.CLOSED

    async def _probe(self, side: Side) -> None:
        """Twice: the first may open a connection, the second has to be as fast as requests need it."""

        async def work() -> object:
            return await (self._commands.ping() if side is Side.READ else self._commands.set(self._scrap, b"", px=1000))

        is_well = await self._answers(work, BACKGROUND_S) and await self._answers(work, self._bounds.budget_s)
        (self._breakers[side].succeeded if is_well else self._breakers[side].failed)()

    async def _answers(self, work: Callable[[], Awaitable[object]], within_s: float) -> bool:
        task = self._start(_Call(work, self._places).run())
        await asyncio.wait({task}, timeout=within_s)
        return task.done() and not task.cancelled() and task.exception() is None

    def _start(self, work: Coroutine[Any, Any, _Result]) -> "asyncio.Task[_Result]":
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[object]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: its caller may have gone

    def _outcome(self, side: Side, task: "asyncio.Task[_Result]") -> _Result | None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self._breakers[side].succeeded()
            return task.result()
        self._breakers[side].failed()
        self._metrics.observe_error(side, kind_of(error))
        return None

    def _observe_late(self, side: Side, *, has_begun: bool, had_budget: bool) -> None:
        """Redis is to blame only if it had the whole budget."""
        if has_begun and had_budget:
            self._breakers[side].failed()
        kind = "timeout" if had_budget else "no_time"
        self._metrics.observe_error(side, kind if has_begun else "busy")

    def _breaker(self, side: Side, clock: Callable[[], float]) -> Breaker:
        def changed(state: BreakerState) -> None:
            self._metrics.set_breaker(side, state.name.lower(), state.value)
            logs.warning("redis_breaker", side=side.value, state=state.name.lower())

        bounds = self._bounds
        return Breaker(max_failures=bounds.max_failures, open_s=bounds.open_s, on_change=changed, clock=clock)


def kind_of(error: BaseException) -> str:
    """What went wrong, as a word of a fixed set. Whatever a parser stumbles over is "garbage"."""
    return next((kind for known, kind in _KINDS if isinstance(error, known)), "garbage")


def _value(answer: object) -> bytes | None:
    if answer is None or isinstance(answer, bytes):
        return answer
    raise exceptions.InvalidResponse("not a string")
