"""What a cache knows of a request, and for how long; the keys; the cache in this process. No gRPC, no Redis.

No text in keys: they are HMAC-SHA-256 under a secret, so that neither a dump nor a guess tells what was
asked. Only replies that are as good as their tier asked for are stored; a degraded one is never found here.
"""

import hmac
import random
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from qdts.service.reply import DegradeReason, Reply
from qdts.service.request import Request

# What an entry takes beside its texts: keys, spans and the objects themselves, by rough measure.
ENTRY_OVERHEAD_BYTES = 1024
# Why the model will fail again: it decodes greedily, so what it wrote once it writes always. All other reasons may
# have passed by the next request.
_LASTING = (DegradeReason.GUARD_REJECTED,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of a request: its reply; or None, a negative entry: the model cannot answer it.

    Fresh for `fresh_s` seconds from when it was made. One that is past them may answer only where the alternative is
    worse, or while it is being made anew.
    """

    reply: Reply | None
    fresh_s: float
    age_s: float = 0.0

    @property
    def is_fresh(self) -> bool:
        """Whether it may answer whatever else there is."""
        return self.age_s < self.fresh_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """Seconds an entry lives, by what it is.

    Fresh for `ttl_s`, or `negative_s` if it is negative, less a random share of up to `jitter`: what was made together
    must not all be made anew together. Then for `revalidate_s` it answers while it is made anew, and for `stale_s`
    where the alternative is worse; negative entries do neither.
    """

    ttl_s: float
    stale_s: float = 0.0
    revalidate_s: float = 0.0
    negative_s: float = 60.0
    jitter: float = 0.0
    draw: Callable[[], float] = random.random

    def entry(self, reply: Reply) -> Entry | None:
        """What is to be kept of a reply that was just made; None for what says more of the moment than the request."""
        shortened = 1 - self.jitter * self.draw()
        if not reply.reasons:
            return Entry(reply=reply, fresh_s=self.ttl_s * shortened)
        return Entry(reply=None, fresh_s=self.negative_s * shortened) if reply.reasons == _LASTING else None

    def left_s(self, entry: Entry) -> float:
        """Seconds until it is of no use; not above 0: it is of none."""
        return entry.fresh_s + (0 if entry.reply is None else self.stale_s) - entry.age_s

    def may_revalidate(self, entry: Entry) -> bool:
        """Whether it may answer while it is made anew."""
        is_young = entry.age_s < entry.fresh_s + min(self.revalidate_s, self.stale_s)
        return entry.reply is not None and not entry.is_fresh and is_young


class CacheKeys:
    """Keys of requests: equal for requests that every model version answers equally.

    Processes that share a cache share the secret. `variant` tells apart what answers differently though its model has
    the same version: number format, mode, release of qdts.
    """

    def __init__(self, secret: bytes | None = None, *, variant: str = "") -> None:
        self._secret = secret or secrets.token_bytes(32)
        self._variant = variant

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
            self._variant,
        )
        return self.digest(*(part.encode() for part in parts))

    def digest(self, *parts: bytes) -> bytes:
        """HMAC-SHA-256 of the parts, each with its length: no two different lists run together to the same bytes."""
        digest = hmac.new(self._secret, digestmod="sha256")
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


class LruCache:
    """The least recently used entries leave first, by count and by bytes; all leave past their use."""

    def __init__(
        self,
        *,
        max_entries: int,
        max_bytes: int,
        lifetimes: Lifetimes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._lifetimes = lifetimes
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[Entry, float, int]] = OrderedDict()
        self._num_bytes = 0

    def get(self, key: bytes) -> Entry | None:
        """The entry under `key`, fresh or within its stale time, or None."""
        found = self._entries.get(key)
        if found is None:
            return None
        entry, made_at, _ = found
        entry = replace(entry, age_s=self._clock() - made_at)
        if self._lifetimes.left_s(entry) <= 0:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep `entry` in place of what is there; one larger than the whole cache is not kept."""
        size = size_of(entry)
        self._drop(key)
        if size > self._max_bytes or self._max_entries == 0:
            return
        self._entries[key] = (entry, self._clock() - entry.age_s, size)
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


def size_of(entry: Entry) -> int:
    """Estimated bytes of an entry in memory: four per character is Python's worst case."""
    sentences = () if entry.reply is None else entry.reply.summary.sentences
    return ENTRY_OVERHEAD_BYTES + sum(4 * len(sentence.text) for sentence in sentences)
