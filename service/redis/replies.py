"""Replies that several processes share, and the lease that lets one of them make a reply while others wait.

A lease is a key with a token and a short life (SET NX PX), given back by compare and delete. Its holder writes the
reply before that. Who waits looks again and again, for no longer than a lease lives; if the holder dies, its lease runs
out and the next to look takes over. Without Redis' word everybody makes what they need.
"""

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any

from qdts.service.cache import Entry, Lifetimes
from qdts.service.cache_levels import Claim
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.deadline import Deadline
from qdts.service.redis.client import RedisClient
from qdts.service.redis.names import Names
from qdts.service.redis.reply_codec import ReplyCodec

# Who waits for another process looks after so long, then ever more seldom.
FIRST_LOOK_S, MAX_LOOK_S, LOOK_GROWTH = 0.005, 0.050, 1.5
# At most so much of the time that is left: the rest must do to make the reply after all.
WAIT_SHARE = 0.5
# Entries on their way to Redis; further ones are dropped.
MAX_BACKGROUND = 256
CLOSE_S = 1.0


class RedisReplies:
    """The shared level of the reply cache. One event loop's."""

    def __init__(
        self,
        client: RedisClient,
        codec: ReplyCodec,
        lifetimes: Lifetimes,
        metrics: CacheMetrics,
        *,
        names: Names,
        lease_ms: int,
    ) -> None:
        self._client = client
        self._codec = codec
        self._lifetimes = lifetimes
        self._metrics = metrics
        self._names = names
        self._lease_ms = lease_ms
        self._background: set[asyncio.Task[None]] = set()

    async def get(self, key: bytes, deadline: Deadline) -> Entry | None:
        """The entry under `key`, fresh or stale, or None."""
        name = self._names.reply(key)
        return self._read(name, await self._client.get(name, deadline))

    async def claim(self, key: bytes, deadline: Deadline) -> Claim:
        """Leave to make the reply, or the reply that another process was making."""
        token = secrets.token_bytes(16)
        try:
            return await self._claim(key, token, deadline)
        except asyncio.CancelledError:
            self.settle(key, None, token)  # it may be granted all the same
            raise

    async def _claim(self, key: bytes, token: bytes, deadline: Deadline) -> Claim:
        waits_until = Deadline.after(min(self._lease_ms / 1000, WAIT_SHARE * deadline.remaining_s))
        pause_s = FIRST_LOOK_S
        while True:
            claim = await self._try(key, token, deadline)
            if claim is not None:
                return claim
            if waits_until.remaining_s <= pause_s:
                self._metrics.observe_claim("waited_in_vain")
                return Claim()
            await asyncio.sleep(pause_s)
            pause_s = min(MAX_LOOK_S, LOOK_GROWTH * pause_s)

    def settle(self, key: bytes, entry: Entry | None, token: bytes | None) -> None:
        """In the background: keep `entry`, if there is one, then give the leave back."""
        if entry is not None or token is not None:
            self._later(self._settle(key, entry, token))

    async def close(self) -> None:
        """Wait a moment for what is on its way."""
        if self._background:
            await asyncio.wait(self._background, timeout=CLOSE_S)

    async def _try(self, key: bytes, token: bytes, deadline: Deadline) -> Claim | None:
        """The claim as it stands; None while another process has the lease."""
        name, lease = self._names.reply(key), self._names.lease(key)
        lease_ms = max(1, min(self._lease_ms, round(1000 * deadline.remaining_s)))
        answer = await self._client.take_lease(lease, name, token, lease_ms=lease_ms, deadline=deadline)
        if answer is None:
            self._metrics.observe_claim("without_redis")
            return Claim(token=token)  # it may be granted after all, too late to be told
        is_ours, value = answer
        entry = self._read(name, value)
        if entry is not None and entry.is_fresh:
            self._metrics.observe_claim("found")
            self.settle(key, None, token if is_ours else None)
            return Claim(found=entry)
        if is_ours:
            self._metrics.observe_claim("leave")
        return Claim(token=token) if is_ours else None

    def _read(self, name: str, value: bytes | None) -> Entry | None:
        if value is None:
            return None
        entry = self._codec.decode(name, value)
        if entry is None:
            self._metrics.observe_error("read", "corrupt")
            return None
        return entry if self._lifetimes.left_s(entry) > 0 else None

    async def _settle(self, key: bytes, entry: Entry | None, token: bytes | None) -> None:
        if entry is not None:
            await self._put(self._names.reply(key), entry)
        if token is not None:
            await self._client.release(self._names.lease(key), token)

    async def _put(self, name: str, entry: Entry) -> None:
        value = self._codec.encode(name, entry)
        if value is None:
            self._metrics.observe_error("write", "too_large")
        elif (ttl_s := self._lifetimes.left_s(entry)) > 0:
            await self._client.set(name, value, ttl_s=ttl_s)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._background) >= MAX_BACKGROUND:
            work.close()
            self._metrics.observe_error("write", "busy")
            return
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
