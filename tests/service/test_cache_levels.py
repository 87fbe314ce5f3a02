"""Two levels as one: the near one first, the far one once for all, what is found far is kept near."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from qdts.models.document import Span, Summary, SummarySentence
from qdts.service.cache import Entry, Lifetimes, LruCache
from qdts.service.cache_levels import Claim, ReplyCache
from qdts.service.deadline import Deadline
from qdts.service.metrics import Metrics
from qdts.service.reply import Reply, Rung

LIFETIMES = Lifetimes(ttl_s=10.0, revalidate_s=5.0, stale_s=20.0)
SUMMARY = Summary(sentences=(SummarySentence(text="Built.", source=Span(0, 6)),), coverage=1.0)
ENTRY = Entry(reply=Reply(summary=SUMMARY, rung=Rung.FULL, origin_rung=Rung.FULL), fresh_s=10.0)


class Far:
    """What processes share, as one of them sees it."""

    def __init__(self, entry: Entry | None = None, claim: Claim | None = None) -> None:
        self.entry = entry
        self.claimed = claim or Claim(token=b"t")
        self.num_gets = 0
        self.settled: list[tuple[bytes, Entry | None, bytes | None]] = []

    async def get(self, key: bytes, deadline: Deadline) -> Entry | None:
        self.num_gets += 1
        await asyncio.sleep(0.01)
        return self.entry

    async def claim(self, key: bytes, deadline: Deadline) -> Claim:
        return self.claimed

    def settle(self, key: bytes, entry: Entry | None, token: bytes | None) -> None:
        self.settled.append((key, entry, token))

    async def close(self) -> None: ...


def levels(far: Far | None, clock: Any = lambda: 0.0) -> ReplyCache:
    near = LruCache(max_entries=10, max_bytes=1 << 20, lifetimes=LIFETIMES, clock=clock)
    return ReplyCache(near=near, far=far, lifetimes=LIFETIMES, metrics=Metrics().cache)


def soon() -> Deadline:
    return Deadline.after(5.0)


async def kept(cache: ReplyCache, entry: Entry = ENTRY) -> None:
    async with cache.turn(b"k", soon(), needs_leave=False) as turn:
        turn.made = entry


async def test_far_is_asked_once_for_all_and_then_no_more() -> None:
    far = Far(ENTRY)
    cache = levels(far)
    found = await asyncio.gather(*(cache.get(b"k", soon()) for _ in range(100)))
    assert all(entry == ENTRY for entry in found)
    assert await cache.get(b"k", soon()) == ENTRY
    assert far.num_gets == 1


async def test_what_is_missing_far_is_missing() -> None:
    assert await levels(Far()).get(b"k", soon()) is None
    assert await levels(None).get(b"k", soon()) is None


@pytest.mark.parametrize(("age_s", "num_gets"), [(9.0, 0), (12.0, 0), (16.0, 1)])
async def test_far_is_asked_when_near_cannot_answer_at_once(age_s: float, num_gets: int) -> None:
    now = [0.0]
    far = Far()
    cache = levels(far, clock=lambda: now[0])
    await kept(cache)
    now[0] = age_s
    found = await cache.get(b"k", soon())
    assert found is not None and found.age_s == age_s
    assert far.num_gets == num_gets


async def test_the_younger_of_two_stale_ones_is_taken() -> None:
    now = [0.0]
    far = Far(replace(ENTRY, age_s=1.0))
    cache = levels(far, clock=lambda: now[0])
    await kept(cache)
    now[0] = 16.0
    found = await cache.get(b"k", soon())
    assert found is not None and found.age_s == 1.0
    far.entry = replace(ENTRY, age_s=29.0)
    now[0] = 32.0
    assert (await cache.get(b"k", soon())) == replace(ENTRY, age_s=17.0)


async def test_a_far_level_that_hangs_is_left_with_the_request() -> None:
    class Hanging(Far):
        async def get(self, key: bytes, deadline: Deadline) -> Entry | None:
            await asyncio.sleep(60)

    assert await levels(Hanging()).get(b"k", Deadline.after(0.02)) is None


async def test_who_looked_in_vain_while_another_made_it_does_not_make_it_again() -> None:
    """The far level was asked before it was told; the near one knows by then."""
    far = Far()
    cache = levels(far)
    looking = asyncio.ensure_future(cache.get(b"k", soon()))
    while not far.num_gets:
        await asyncio.sleep(0)
    await kept(cache)
    assert await looking is None
    num_settled = len(far.settled)
    async with cache.turn(b"k", soon(), needs_leave=True) as turn:
        assert turn.found == ENTRY
    async with cache.turn(b"k", soon(), needs_leave=False) as turn:
        assert turn.found is None, "it is to be replaced"
    assert len(far.settled) == num_settled + 1, "no leave was asked for, and none given back"


async def test_what_was_made_is_kept_in_both_and_leave_is_given_back() -> None:
    far = Far()
    cache = levels(far)
    async with cache.turn(b"k", soon(), needs_leave=True) as turn:
        assert turn.found is None
        turn.made = ENTRY
    assert far.settled == [(b"k", ENTRY, b"t")]
    assert await cache.get(b"k", soon()) == ENTRY and far.num_gets == 0


async def test_leave_is_given_back_when_nothing_was_made() -> None:
    far = Far()
    with pytest.raises(KeyError):
        async with levels(far).turn(b"k", soon(), needs_leave=True):
            raise KeyError
    assert far.settled == [(b"k", None, b"t")]


async def test_what_another_process_made_is_found_and_kept_near() -> None:
    far = Far(claim=Claim(found=ENTRY))
    cache = levels(far)
    async with cache.turn(b"k", soon(), needs_leave=True) as turn:
        assert turn.found == ENTRY
    assert await cache.get(b"k", soon()) == ENTRY and far.num_gets == 0


async def test_a_refresh_asks_for_no_leave() -> None:
    far = Far(claim=Claim(found=ENTRY))
    async with levels(far).turn(b"k", soon(), needs_leave=False) as turn:
        assert turn.found is None
    assert far.settled == [(b"k", None, None)]
