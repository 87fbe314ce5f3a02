"""cache -> single flight -> ladder: how one request gets its reply. Knows nothing of gRPC.

Identical requests in flight share one piece of work. It runs under the deadline of the caller that started
it; one that joins with less time leaves earlier, by a cheaper rung, and one with more time starts again if
the shared reply was cut short by the first one's hurry.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from qdts.errors import DeadlineExceeded, Overloaded, QuotaExceeded
from qdts.service.cache import CacheKeys, Entry
from qdts.service.cache_levels import ReplyCache
from qdts.service.deadline import Deadline
from qdts.service.extraction import EXTRACTIVE_VERSION
from qdts.service.ladder import Ladder, OnText
from qdts.service.metrics import Metrics
from qdts.service.quotas import QuotaConfig, Quotas, used_units
from qdts.service.reply import TIME_REASONS, CacheStatus, DegradeReason, Reply, Rung
from qdts.service.request import CachePolicy, Priority, Request
from qdts.service.revalidation import Revalidation
from qdts.service.single_flight import SingleFlight
from qdts.service.slo import counted

# A shared reply that was cut short is good enough for callers with no more time than this beyond its maker's.
HURRY_S = 0.010


class Second(Protocol):
    """Another that may answer some requests: canary.py."""

    async def answer(self, request: Request, deadline: Deadline, on_text: OnText | None) -> Reply | None:
        """Its reply, or None: it is not its turn, or it has failed."""
        ...

    def observe(self, request: Request, reply: Reply, took_s: float) -> None:
        """What has been answered without it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """A reply and the deadline it was made under."""

    reply: Reply
    deadline: Deadline

    @property
    def was_cut_short(self) -> bool:
        """Whether who has more time may get a better one."""
        return not TIME_REASONS.isdisjoint(self.reply.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Miss:
    """A request that no fresh entry answers; `stale`: one past its time, as a reply, where the request takes that."""

    key: bytes
    request: Request
    deadline: Deadline
    stale: Reply | None


class Answerer:
    """Answers requests until they are no longer sent."""

    def __init__(
        self,
        *,
        ladder: Ladder,
        cache: ReplyCache | None,
        keys: CacheKeys,
        metrics: Metrics,
        quotas: Quotas | None = None,
        second: Second | None = None,
    ) -> None:
        self._ladder = ladder
        self._cache = cache
        self._keys = keys
        self._metrics = metrics
        self._quotas = quotas or Quotas(QuotaConfig())
        self._second = second
        self._flights: SingleFlight[_Shared] = SingleFlight()
        self._revalidation = Revalidation(metrics.cache)

    @property
    def ladder(self) -> Ladder:
        """What makes the replies."""
        return self._ladder

    async def answer(self, request: Request, deadline: Deadline, on_text: OnText | None = None) -> Reply:
        """The reply, never later than the deadline; on_text gets the text so far as it is written."""
        with counted(self._metrics, request.priority, deadline):
            if deadline.expired:
                raise DeadlineExceeded("the deadline passed before the request was read")
            reply = await self._charged(request, deadline, on_text)
        self._metrics.observe_reply(reply, request.priority)
        return reply

    def close(self) -> None:
        """Make nothing anew any more."""
        self._revalidation.close()

    async def _charged(self, request: Request, deadline: Deadline, on_text: OnText | None) -> Reply:
        """The reply, at the cost of the request's tenant."""
        try:
            with self._quotas.spending(request) as bill:
                reply = await self._choose(request, deadline, on_text)
                bill.units = used_units(reply)
                return reply
        except QuotaExceeded:
            self._metrics.admission.observe_shed(request.priority, "quota")
            raise

    async def _choose(self, request: Request, deadline: Deadline, on_text: OnText | None) -> Reply:
        if self._second is None:
            return await self.propose(request, deadline, on_text)
        reply = await self._second.answer(request, deadline, on_text)
        if reply is None:
            started_at = time.monotonic()
            reply = await self.propose(request, deadline, on_text)
            self._second.observe(request, reply, time.monotonic() - started_at)
        return reply

    async def propose(self, request: Request, deadline: Deadline, on_text: OnText | None = None) -> Reply:
        """As answer(), but that nobody is charged and nothing is counted."""
        return self._admit_lack(request, await self._answer(request, deadline, on_text))

    async def _answer(self, request: Request, deadline: Deadline, on_text: OnText | None) -> Reply:
        cache = self._cache
        if cache is None or request.cache_policy is CachePolicy.BYPASS:
            with self._ladder.admission.entering(request.priority):
                return await self._ladder.climb(request, deadline, on_text)
        key = self._keys.key(request, method=self._method(request))
        entry = None
        if request.cache_policy is not CachePolicy.REFRESH:
            entry = await cache.get(key, self._ladder.model_deadline(request, deadline))
        if entry is not None and entry.is_fresh:
            return await self._recall(entry, request, deadline)
        miss = _Miss(key=key, request=request, deadline=deadline, stale=_stale(entry, request))
        if entry is not None and miss.stale is not None and cache.may_revalidate(entry):
            self._revalidate(cache, miss)
            return miss.stale
        try:
            return await self._share(cache, miss, on_text)
        except Overloaded:
            if miss.stale is None:
                raise
            return replace(miss.stale, reasons=(DegradeReason.OVERLOADED,))

    def _admit_lack(self, request: Request, reply: Reply) -> Reply:
        """Without a model, whoever asked for it gets what others get, and is told."""
        if self._ladder.generator is not None or not self._ladder.wants_model(request):
            return reply
        return replace(reply, reasons=(DegradeReason.NO_MODEL, *reply.reasons))

    def _method(self, request: Request) -> str:
        generator = self._ladder.generator
        if generator is None or not self._ladder.wants_model(request):
            return EXTRACTIVE_VERSION
        return generator.summarizer.version

    async def _recall(self, entry: Entry, request: Request, deadline: Deadline) -> Reply:
        """What a fresh entry says: the reply, or that the model need not try."""
        if entry.reply is not None:
            return entry.reply.from_cache(stale=False)
        reasons = (DegradeReason.GUARD_REJECTED,)
        reply = await self._ladder.climb_from(Rung.EXTRACTIVE, request, deadline, reasons)
        return replace(reply, cache_status=CacheStatus.HIT)

    def _revalidate(self, cache: ReplyCache, miss: _Miss) -> None:
        """Behind those who wait for an answer."""
        anew = replace(miss.request, priority=max(miss.request.priority, Priority.PREFETCH))
        self._revalidation.start(
            miss.key, lambda until: self._share(cache, replace(miss, request=anew, deadline=until), None)
        )

    async def _share(self, cache: ReplyCache, miss: _Miss, on_text: OnText | None) -> Reply:
        """The reply of a flight for the key: one's own, or another's, not in more of a hurry, not of a lower class."""
        request, deadline = miss.request, miss.deadline
        while True:
            flight = self._flight(miss.key, request.priority)
            is_leader = flight not in self._flights
            try:
                shared = await self._flights.join(
                    flight,
                    lambda tell: self._make(cache, miss, tell),
                    timeout_s=self._patience_s(request, deadline, is_leader=is_leader),
                    listener=on_text,
                )
            except TimeoutError:
                return await self._without_model(miss, (DegradeReason.DEADLINE_MISSED,))
            except DeadlineExceeded:
                if is_leader or deadline.expired:
                    raise
                await asyncio.sleep(0)  # so that it lands, and is not joined again
                continue
            if is_leader or shared.reply.cache_status is CacheStatus.HIT:
                return shared.reply
            if not (shared.was_cut_short and shared.deadline.at + HURRY_S < deadline.at):
                return await self._take(miss, shared.reply)
            await asyncio.sleep(0)  # as above

    async def _take(self, miss: _Miss, reply: Reply) -> Reply:
        """What another's reply is to the request: it may hold an entry past its time, or what is worse than one."""
        if reply.rung is Rung.STALE:
            return reply if _takes_stale(miss.request) else await self._without_model(miss, reply.reasons)
        if miss.stale is not None and reply.reasons and reply.rung > Rung.STALE:
            return replace(miss.stale, reasons=reply.reasons)
        return replace(reply, cache_status=CacheStatus.SHARED)

    async def _without_model(self, miss: _Miss, reasons: tuple[DegradeReason, ...]) -> Reply:
        return await self._ladder.climb_from(Rung.EXTRACTIVE, miss.request, miss.deadline, reasons, stale=miss.stale)

    def _flight(self, key: bytes, priority: Priority) -> tuple[bytes, Priority]:
        """What to join: a flight of a class no lower than one's own, or else one of one's own class.

        Behind a lower one's a call would wait its turn in the queue, and share its refusal.
        """
        flights = [(key, each) for each in Priority if each <= priority]
        return next((flight for flight in flights if flight in self._flights), (key, priority))

    def _patience_s(self, request: Request, deadline: Deadline, *, is_leader: bool) -> float:
        """How long to wait for a flight: its leader's ladder keeps the leader's deadline by itself."""
        return deadline.remaining_s if is_leader else self._ladder.model_deadline(request, deadline).remaining_s

    async def _make(self, cache: ReplyCache, miss: _Miss, tell: Callable[[str], None]) -> _Shared:
        request, deadline = miss.request, miss.deadline
        is_refresh = request.cache_policy is CachePolicy.REFRESH
        until = self._ladder.model_deadline(request, deadline)
        # Whoever overtakes a lower class must not wait for the leave that this has for the same.
        overtakes = any((miss.key, each) in self._flights for each in Priority if each > request.priority)
        # Those who wait for this flight are not counted: they cost next to nothing, and must not keep leaders out.
        with self._ladder.admission.entering(request.priority):
            async with cache.turn(miss.key, until, needs_leave=not (is_refresh or overtakes)) as turn:
                if turn.found is not None:
                    return _Shared(reply=await self._recall(turn.found, request, deadline), deadline=deadline)
                reply = await self._ladder.climb(request, deadline, tell, stale=miss.stale)
                if reply.rung is not Rung.STALE:
                    reply = replace(reply, cache_status=CacheStatus.BYPASS if is_refresh else CacheStatus.MISS)
                turn.made = cache.entry(reply)
        return _Shared(reply=reply, deadline=deadline)


def _takes_stale(request: Request) -> bool:
    return request.cache_policy is CachePolicy.DEFAULT


def _stale(entry: Entry | None, request: Request) -> Reply | None:
    """The entry as a reply past its time, better than one made without the model for want of time or capacity."""
    if entry is None or entry.reply is None or not _takes_stale(request):
        return None
    return entry.reply.from_cache(stale=True)
