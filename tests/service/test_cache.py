"""Keys that tell requests apart without telling what they are; a cache that keeps to its bounds."""

from dataclasses import replace
from typing import Any

import pytest

from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.service.cache import ENTRY_OVERHEAD_BYTES, CacheKeys, LruCache, size_of
from qdts.service.reply import CacheStatus, Reply, Rung
from qdts.service.request import CachePolicy, Priority, Request, View

REQUEST = Request(query="q", document=Document(text="t"), document_sha256="ab", max_words=35)


def reply(text: str = "x" * 100) -> Reply:
    summary = Summary(sentences=(SummarySentence(text=text, source=Span(0, 1)),), coverage=1.0)
    return Reply(summary=summary, rung=Rung.FULL, origin_rung=Rung.FULL)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cache(**bounds: Any) -> LruCache:
    settings: dict[str, Any] = {"max_entries": 10, "max_bytes": 1 << 20, "ttl_s": 10.0} | bounds
    return LruCache(**settings)


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, query="r"),
        replace(REQUEST, document_sha256="ac"),
        replace(REQUEST, max_words=36),
        replace(REQUEST, document=Document(text="t", title="T")),
        replace(REQUEST, document=Document(text="t", language="de")),
        replace(REQUEST, query="", document_sha256="qab"),  # parts must not run together
    ],
)
def test_what_changes_the_answer_changes_the_key(other: Request) -> None:
    keys = CacheKeys()
    assert keys.key(other, method="m") != keys.key(REQUEST, method="m")


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, view=View.BASIC),
        replace(REQUEST, priority=Priority.BULK),
        replace(REQUEST, cache_policy=CachePolicy.REFRESH),
        replace(REQUEST, request_id="r", document_id="d"),
    ],
)
def test_what_does_not_change_the_answer_does_not_change_the_key(other: Request) -> None:
    keys = CacheKeys()
    assert keys.key(other, method="m") == keys.key(REQUEST, method="m")


def test_model_version_and_secret_change_the_key() -> None:
    keys = CacheKeys(b"secret")
    assert keys.key(REQUEST, method="m@1") != keys.key(REQUEST, method="m@2")
    assert keys.key(REQUEST, method="m") == CacheKeys(b"secret").key(REQUEST, method="m")
    assert keys.key(REQUEST, method="m") != CacheKeys().key(REQUEST, method="m")
    assert len(keys.key(REQUEST, method="m")) == 32


async def test_fresh_then_stale_then_gone() -> None:
    clock = Clock()
    lru = cache(ttl_s=10.0, stale_s=5.0, clock=clock)
    await lru.put(b"k", reply())
    for now, expected in ((9.9, True), (10.0, False), (14.9, False), (15.0, None)):
        clock.now = now
        entry = await lru.get(b"k")
        assert (entry.is_fresh if entry else None) is expected
    assert (len(lru), lru.num_bytes) == (0, 0)


async def test_least_recently_used_leaves_first() -> None:
    lru = cache(max_entries=2)
    await lru.put(b"a", reply())
    await lru.put(b"b", reply())
    await lru.get(b"a")
    await lru.put(b"c", reply())
    assert [bool(await lru.get(key)) for key in (b"a", b"b", b"c")] == [True, False, True]


async def test_bytes_are_bounded_and_counted() -> None:
    one = size_of(reply())
    assert one == ENTRY_OVERHEAD_BYTES + 400
    lru = cache(max_bytes=3 * one)
    for number in range(50):
        await lru.put(bytes([number]), reply())
        assert lru.num_bytes <= 3 * one
    assert len(lru) == 3
    await lru.put(bytes([49]), reply("y"))
    assert lru.num_bytes == 2 * one + size_of(reply("y"))


async def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    lru = cache(max_bytes=100)
    await lru.put(b"k", reply())
    assert (await lru.get(b"k"), len(lru)) == (None, 0)


def test_reply_from_cache_says_so() -> None:
    fresh, stale = reply().from_cache(stale=False), reply().from_cache(stale=True)
    assert (fresh.rung, fresh.cache_status, fresh.origin_rung) == (Rung.CACHE, CacheStatus.HIT, Rung.FULL)
    assert (stale.rung, stale.cache_status) == (Rung.STALE, CacheStatus.STALE)
