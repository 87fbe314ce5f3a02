"""Replies by keyed hash: the seam (ReplyCache), the keys, the cache in this process. No gRPC.

No text in keys: they are HMAC-SHA-256 under a secret, so that neither a dump nor a guess tells what was
asked. Only replies that are as good as their tier asked for are stored; a degraded one is never found here.
"""

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from qdts.service.reply import Reply
from qdts.service.request import Request

# What an entry takes beside its texts: keys, spans and the objects themselves, by rough measure.
ENTRY_OVERHEAD_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A reply found in a cache. One that is not fresh may answer only where the alternative is worse."""

    reply: Reply
    is_fresh: bool


class ReplyCache(Protocol):
    """What every cache level offers."""

    async def get(self, key: bytes) -> Entry | None:
        """The entry under `key`, or None. Never fails: a cache that is down holds nothing."""
        ...

    async def put(self, key: bytes, reply: Reply) -> None:
        """Keep `reply` under `key`, replacing what is there. Never fails."""
        ...


class CacheKeys:
    """Keys of requests: equal for requests that every model version answers equally."""

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)

    def key(self, request: Request, *, method: str) -> bytes:
        """`method` names what will make the answer: a model version, or the extractive summariser's."""
        document = request.document
        parts = (
            request.query,
            request.document_sha256,
            document.title,
            document.language.lower(),
            str(request.max_words),
            method,
        )
        # Each part with its length: no two different requests run together to the same bytes.
        digest = hmac.new(self._secret, digestmod="sha256")
        for part in parts:
            data = part.encode()
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.digest()


class LruCache:
    """The least recently used replies leave first, by count and by bytes; all leave past their use."""

    def __init__(
        self,
        *,
        max_entries: int,
        max_bytes: int,
        ttl_s: float,
        stale_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._ttl_s, self._stale_s = ttl_s, stale_s
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[Reply, float, int]] = OrderedDict()
        self._num_bytes = 0

    async def get(self, key: bytes) -> Entry | None:
        """The entry under `key`, fresh or within its stale time, or None."""
        found = self._entries.get(key)
        if found is None:
            return None
        reply, stored_at, _ = found
        age_s = self._clock() - stored_at
        if age_s >= self._ttl_s + self._stale_s:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return Entry(reply=reply, is_fresh=age_s < self._ttl_s)

    async def put(self, key: bytes, reply: Reply) -> None:
        """Keep `reply`; one larger than the whole cache is not kept."""
        size = size_of(reply)
        self._drop(key)
        if size > self._max_bytes or self._max_entries == 0:
            return
        self._entries[key] = (reply, self._clock(), size)
        self._num_bytes += size
        while self._num_bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._drop(next(iter(self._entries)))

    @property
    def num_bytes(self) -> int:
        """Estimated bytes held."""
        return self._num_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def _drop(self, key: bytes) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self._num_bytes -= found[2]


def size_of(reply: Reply) -> int:
    """Estimated bytes of a reply in memory: four per character is Python's worst case."""
    return ENTRY_OVERHEAD_BYTES + sum(4 * len(sentence.text) for sentence in reply.summary.sentences)
