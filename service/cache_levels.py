"""The reply cache as the answerer sees it: this process first, then what processes share. Knows no Redis.

The shared level is asked once for all who ask for the same at the same time, and told in the background: a reply never
waits for being kept.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from qdts.service.cache import Entry, Lifetimes, LruCache
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.deadline import Deadline
from qdts.service.reply import Reply
from qdts.service.single_flight import SingleFlight


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to make a reply. `found`: somebody else has made it. `token` None: made without anyone's leave."""

    found: Entry | None = None
    token: bytes | None = None


class SharedCache(Protocol):
    """What several processes share. Never fails: one that is down holds nothing and gives no leave."""

    async def get(self, key: bytes, deadline: Deadline) -> Entry | None:
        """The entry under `key`, fresh or stale, or None; within a budget of its own."""
        ...

    async def claim(self, key: bytes, deadline: Deadline) -> Claim:
        """Leave to make the reply, or the reply that another process was making; waits for it, but not for long."""
        ...

    def settle(self, key: bytes, entry: Entry | None, token: bytes | None) -> None:
        """In the background: keep `entry`, if there is one, then give the leave back."""
        ...

    async def close(self) -> None:
        """Finish what is in the background, soon, and end."""
        ...


@dataclass(slots=True)
class Turn:
    """One's turn to make a reply, unless it was `found`; `made` is kept when the turn is over."""

    found: Entry | None = None
    made: Entry | None = None


class ReplyCache:
    """Entries by key. One event loop's."""

    def __init__(self, *, near: LruCache, far: SharedCache | None, lifetimes: Lifetimes, metrics: CacheMetrics) -> None:
        self._near = near
        self._far = far
        self._lifetimes = lifetimes
        self._metrics = metrics
        self._lookups: SingleFlight[Entry | None] = SingleFlight()

    async def get(self, key: bytes, deadline: Deadline) -> Entry | None:
        """The best entry under `key`, fresh or stale, or None. Never fails."""
        near = self._near.get(key)
        self._metrics.observe_lookup("process", near)
        if self._far is None or (near is not None and (near.is_fresh or self.may_revalidate(near))):
            return near
        far = await self._get_far(self._far, key, deadline)
        if far is None or (near is not None and near.age_s <= far.age_s):
            return near
        self._near.put(key, far)
        return far

    @asynccontextmanager
    async def turn(self, key: bytes, deadline: Deadline, *, needs_leave: bool) -> AsyncIterator[Turn]:
        """One's turn to make a reply: among all processes, or at once where no leave is needed."""
        near = self._near.get(key) if needs_leave else None
        if near is not None and near.is_fresh:  # made while the shared level was asked
            yield Turn(found=near)
            return
        claim = Claim() if self._far is None or not needs_leave else await self._far.claim(key, deadline)
        turn = Turn(found=claim.found)
        try:
            if claim.found is not None:
                self._near.put(key, claim.found)
            yield turn
        finally:
            if turn.made is not None:
                self._near.put(key, turn.made)
            if self._far is not None:
                self._far.settle(key, turn.made, claim.token)

    def entry(self, reply: Reply) -> Entry | None:
        """What is to be kept of a reply, if anything."""
        return self._lifetimes.entry(reply)

    def may_revalidate(self, entry: Entry) -> bool:
        """Whether it may answer while it is made anew."""
        return self._lifetimes.may_revalidate(entry)

    async def _get_far(self, far: SharedCache, key: bytes, deadline: Deadline) -> Entry | None:
        try:
            entry = await self._lookups.join(key, lambda tell: far.get(key, deadline), timeout_s=deadline.remaining_s)
        except TimeoutError:
            return None
        self._metrics.observe_lookup("redis", entry)
        return entry
