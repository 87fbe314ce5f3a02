"""Keys that tell requests apart without telling what they are; a cache that keeps to its bounds."""

from dataclasses import replace
from typing import Any

import pytest

from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.service.cache import ENTRY_OVERHEAD_BYTES, CacheKeys, Entry, Lifetimes, LruCache, size_of
from qdts.service.reply import CacheStatus, DegradeReason, Reply, Rung
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


LIFETIMES = Lifetimes(ttl_s=10.0)


def entry(lifetimes: Lifetimes = LIFETIMES) -> Entry:
    made = lifetimes.entry(reply())
    assert made is not None
    return made


def cache(lifetimes: Lifetimes = LIFETIMES, **bounds: Any) -> LruCache:
    settings: dict[str, Any] = {"max_entries": 10, "max_bytes": 1 << 20} | bounds
    return LruCache(lifetimes=lifetimes, **settings)


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


def test_variant_changes_the_key() -> None:
    keys = [CacheKeys(b"secret", variant=variant).key(REQUEST, method="m") for variant in ("", "int8", "fp32")]
    assert len(set(keys)) == 3


def test_fresh_then_stale_then_gone() -> None:
    clock = Clock()
    lifetimes = Lifetimes(ttl_s=10.0, stale_s=5.0)
    lru = cache(lifetimes, clock=clock)
    lru.put(b"k", entry(lifetimes))
    for now, expected in ((9.9, True), (10.0, False), (14.9, False), (15.0, None)):
        clock.now = now
        found = lru.get(b"k")
        assert (found.is_fresh if found else None) is expected
    assert (len(lru), lru.num_bytes) == (0, 0)


def test_age_counts_from_when_an_entry_was_made() -> None:
    clock = Clock()
    lru = cache(clock=clock)
    lru.put(b"k", replace(entry(), age_s=7.0))
    clock.now = 2.0
    found = lru.get(b"k")
    assert found is not None and found.age_s == 9.0 and found.is_fresh


def test_least_recently_used_leaves_first() -> None:
    lru = cache(max_entries=2)
    lru.put(b"a", entry())
    lru.put(b"b", entry())
    lru.get(b"a")
    lru.put(b"c", entry())
    assert [bool(lru.get(key)) for key in (b"a", b"b", b"c")] == [True, False, True]


def test_bytes_are_bounded_and_counted() -> None:
    one = size_of(entry())
    assert one == ENTRY_OVERHEAD_BYTES + 400
    lru = cache(max_bytes=3 * one)
    for number in range(50):
        lru.put(bytes([number]), entry())
        assert lru.num_bytes <= 3 * one
    assert len(lru) == 3
    small = Entry(reply=reply("y"), fresh_s=10)
    lru.put(bytes([49]), small)
    assert lru.num_bytes == 2 * one + size_of(small)


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    lru = cache(max_bytes=100)
    lru.put(b"k", entry())
    assert (lru.get(b"k"), len(lru)) == (None, 0)


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [
        ((), "reply"),
        ((DegradeReason.GUARD_REJECTED,), "negative"),
        ((DegradeReason.DEADLINE_SHORT, DegradeReason.GUARD_REJECTED), "nothing"),
        ((DegradeReason.ENGINE_FAILED,), "nothing"),
        ((DegradeReason.OVERLOADED,), "nothing"),
        ((DegradeReason.DEADLINE_MISSED,), "nothing"),
    ],
)
def test_only_good_replies_and_lasting_failures_are_kept(reasons: tuple[DegradeReason, ...], kind: str) -> None:
    kept = Lifetimes(ttl_s=10, negative_s=3).entry(replace(reply(), reasons=reasons))
    expected = {"reply": (True, 10), "negative": (False, 3), "nothing": None}[kind]
    assert (kept and (kept.reply is not None, kept.fresh_s)) == expected


def test_a_negative_entry_is_never_stale() -> None:
    lifetimes = Lifetimes(ttl_s=10, stale_s=100, revalidate_s=100, negative_s=3)
    negative = Entry(reply=None, fresh_s=3, age_s=3)
    assert lifetimes.left_s(negative) == 0 and not lifetimes.may_revalidate(negative)


def test_jitter_shortens_by_its_share_at_most() -> None:
    lives = [Lifetimes(ttl_s=10, jitter=0.2, draw=lambda d=draw: d).entry(reply()) for draw in (0.0, 0.5, 1.0)]
    assert [life and life.fresh_s for life in lives] == [10, 9, 8]
    drawn = {entry(Lifetimes(ttl_s=10, jitter=0.2)).fresh_s for _ in range(20)}
    assert len(drawn) == 20 and all(8 <= fresh_s <= 10 for fresh_s in drawn)


def test_may_revalidate_between_fresh_and_stale() -> None:
    lifetimes = Lifetimes(ttl_s=10, stale_s=100, revalidate_s=5)
    ages = {age_s: lifetimes.may_revalidate(replace(entry(lifetimes), age_s=age_s)) for age_s in (9.9, 10.0, 14.9, 15)}
    assert ages == {9.9: False, 10.0: True, 14.9: True, 15: False}


def test_reply_from_cache_says_so() -> None:
    fresh, stale = reply().from_cache(stale=False), reply().from_cache(stale=True)
    assert (fresh.rung, fresh.cache_status, fresh.origin_rung) == (Rung.CACHE, CacheStatus.HIT, Rung.FULL)
    assert (stale.rung, stale.cache_status) == (Rung.STALE, CacheStatus.STALE)
