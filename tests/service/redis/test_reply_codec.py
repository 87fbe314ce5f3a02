"""Entries come back as they were; whatever is not one of them is absent."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.document import Span, Summary, SummarySentence
from qdts.service.cache import Entry
from qdts.service.redis.reply_codec import ReplyCodec
from qdts.service.reply import DegradeReason, Reply, Rung

spans = st.tuples(st.integers(0, 10**6), st.integers(0, 10**4)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))
sentences = st.builds(SummarySentence, text=st.text(max_size=80), source=st.none() | spans)
summaries = st.builds(
    Summary,
    sentences=st.lists(sentences, max_size=4).map(tuple),
    coverage=st.floats(0, 1),
    num_input_tokens=st.integers(0, 4096),
    num_output_tokens=st.integers(0, 160),
    num_steps=st.integers(0, 160),
)


def reply(summary: Summary, rung: Rung = Rung.FULL) -> Reply:
    return Reply(summary=summary, rung=rung, origin_rung=rung, model_version="m@1")


def codec(now: float = 1000.0, max_bytes: int = 1 << 16) -> ReplyCodec:
    return ReplyCodec(b"secret", max_bytes=max_bytes, clock=lambda: now)


def long_reply(num_words: int) -> Reply:
    text = " ".join(f"word{number}" for number in range(num_words))
    return reply(Summary(sentences=(SummarySentence(text=text, source=Span(0, 9)),), coverage=1.0))


@given(summaries, st.sampled_from([Rung.FULL, Rung.PASSAGES, Rung.EXTRACTIVE]))
def test_an_entry_comes_back(summary: Summary, rung: Rung) -> None:
    entry = Entry(reply=reply(summary, rung), fresh_s=60.0)
    value = codec().encode("n", entry)
    assert value is not None and codec().decode("n", value) == entry


def test_a_negative_entry_comes_back() -> None:
    entry = Entry(reply=None, fresh_s=3.0)
    value = codec().encode("n", entry)
    assert value is not None and codec().decode("n", value) == entry


def test_ages_add_up_and_are_never_below_nothing() -> None:
    value = codec(1000.0).encode("n", Entry(reply=None, fresh_s=60.0, age_s=5.0))
    assert value is not None
    ages = [entry.age_s for now in (1000.0, 1007.0, 900.0) if (entry := codec(now).decode("n", value))]
    assert ages == [5.0, 12.0, 0.0]


def test_long_replies_are_deflated() -> None:
    entry = Entry(reply=long_reply(500), fresh_s=60.0)
    value = codec().encode("n", entry)
    assert value is not None and entry.reply is not None
    assert len(value) < 0.7 * len(entry.reply.summary.text)
    assert codec().decode("n", value) == entry


def test_what_is_too_large_is_neither_written_nor_read() -> None:
    entry = Entry(reply=long_reply(500), fresh_s=60.0)
    value = codec().encode("n", entry)
    assert value is not None
    assert codec(max_bytes=len(value) - 1).encode("n", entry) is None
    assert codec(max_bytes=len(value) - 1).decode("n", value) is None


@given(st.binary(max_size=200))
def test_garbage_is_absent(value: bytes) -> None:
    assert codec().decode("n", value) is None


def test_a_degraded_reply_is_never_written() -> None:
    degraded = replace(long_reply(3), reasons=(DegradeReason.OVERLOADED,))
    with pytest.raises(AssertionError, match="degraded"):
        codec().encode("n", Entry(reply=degraded, fresh_s=60.0))
