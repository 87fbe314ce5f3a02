"""Which rung answers, and why."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from qdts.errors import DeadlineExceeded, Draining
from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.service.admission import size_of
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.extraction import LEAD_CHARS, MAX_BREAKS, TextThreads, lead_summary, readable
from qdts.service.ladder import Generator, Ladder, before_reply, is_supported
from qdts.service.reply import DegradeReason, Rung
from qdts.service.request import Priority, Request, Tier


def request(tier: Tier = Tier.AUTO, text: str = "The dam was built. It holds nine lakes.") -> Request:
    return Request(query="lakes", document=Document(text=text), document_sha256="", max_words=35, tier=tier)


@pytest.fixture(name="ladder")
async def _ladder() -> AsyncIterator[Callable[..., Ladder]]:
    engines: list[Engine] = []
    threads = TextThreads(2)

    def build(model: Any = None, auto: Tier = Tier.GENERATIVE, max_batch: int = 1) -> Ladder:
        if model is None:
            return Ladder(threads=threads, generator=None, auto=auto)
        engines.append(Engine(model, max_batch=max_batch, max_queue=8, max_encode_tokens=100))
        engines[-1].start(lambda: None)
        return Ladder(threads=threads, generator=Generator(summarizer=model, engine=engines[-1]), auto=auto)

    yield build
    for engine in engines:
        engine.stop(Draining("bye"), timeout_s=5)
    threads.close()


@pytest.mark.parametrize(
    ("tier", "auto", "rung"),
    [
        (Tier.AUTO, Tier.GENERATIVE, Rung.FULL),
        (Tier.AUTO, Tier.FAST, Rung.EXTRACTIVE),
        (Tier.FAST, Tier.GENERATIVE, Rung.EXTRACTIVE),
        (Tier.GENERATIVE, Tier.FAST, Rung.FULL),
        (Tier.BEST, Tier.FAST, Rung.FULL),
    ],
)
async def test_tier_decides_where_to_begin(kit: Any, ladder: Any, tier: Tier, auto: Tier, rung: Rung) -> None:
    reply = await ladder(kit.Model(), auto).climb(request(tier), Deadline.after(10))
    assert (reply.rung, reply.origin_rung, reply.reasons) == (rung, rung, ())


async def test_passages_when_a_full_reading_would_be_late(kit: Any, ladder: Any) -> None:
    model = kit.Model(encode_s=0.2)
    ladder_ = ladder(model)
    for _ in range(3):
        assert (await ladder_.climb(request(), Deadline.after(10))).rung is Rung.FULL
    model.encode_s = 0.0
    reply = await ladder_.climb(request(), Deadline.after(0.2))
    assert (reply.rung, reply.reasons) == (Rung.PASSAGES, (DegradeReason.DEADLINE_SHORT,))
    assert model.prepared == ["full"] * 3 + ["passages"]


async def test_waiting_for_others_is_part_of_the_prediction(kit: Any, ladder: Any, eventually: Any) -> None:
    model = kit.Model(encode_s=0.1)
    ladder_ = ladder(model)
    for _ in range(2):
        await ladder_.climb(request(), Deadline.after(10))
    others = [asyncio.ensure_future(ladder_.climb(request(), Deadline.after(10))) for _ in range(6)]
    await eventually(lambda: len(model.prepared) == 8)
    await asyncio.sleep(0.01)
    reply = await ladder_.climb(request(), Deadline.after(0.3))
    assert reply.rung is Rung.EXTRACTIVE
    assert reply.reasons == (DegradeReason.DEADLINE_SHORT,)
    await asyncio.gather(*others)


async def test_who_has_a_place_does_not_wait(kit: Any, ladder: Any, eventually: Any) -> None:
    """Of two places one is taken: no wait is predicted. Then both are: about half of what a reply alone takes."""
    model = kit.Model(encode_s=0.05)
    ladder_ = ladder(model, max_batch=2)
    engine = ladder_.generator.engine
    await ladder_.climb(request(), Deadline.after(10))
    model.gate.clear()
    first = asyncio.ensure_future(ladder_.climb(request(), Deadline.after(10)))
    await eventually(lambda: model.num_steps == 5)
    assert engine.wait_s(Priority.INTERACTIVE) == 0
    second = asyncio.ensure_future(ladder_.climb(request(), Deadline.after(10)))
    await eventually(lambda: len(model.prepared) == 3)
    assert engine.wait_s(Priority.INTERACTIVE) == pytest.approx(0.0275, rel=0.5)
    model.gate.set()
    assert [reply.rung for reply in await asyncio.gather(first, second)] == [Rung.FULL, Rung.FULL]


async def test_requests_that_come_together_wait_for_each_other(kit: Any, ladder: Any) -> None:
    """Each counts those that have decided for the model, though none of them has reached its queue."""
    model = kit.Model(encode_s=0.1)
    ladder_ = ladder(model)
    for _ in range(2):
        await ladder_.climb(request(), Deadline.after(10))
    replies = await asyncio.gather(*(ladder_.climb(request(), Deadline.after(0.5)) for _ in range(20)))
    rungs = [reply.rung for reply in replies]
    assert rungs[0] is Rung.FULL
    assert rungs.count(Rung.EXTRACTIVE) >= 14
    assert model.num_starts <= 8
    assert all(DegradeReason.DEADLINE_MISSED not in reply.reasons for reply in replies)


async def test_a_long_queue_does_not_make_the_model_look_faster(kit: Any, ladder: Any) -> None:
    model = kit.Model(encode_s=0.1)
    ladder_ = ladder(model)
    await ladder_.climb(request(), Deadline.after(10))
    alone_ms = ladder_._admission.costs.predict_ms(Rung.FULL, size_of(request()))
    model.gate.clear()
    first = asyncio.ensure_future(ladder_.climb(request(), Deadline.after(10)))
    await asyncio.sleep(0.01)
    for _ in range(50):
        assert (await ladder_.climb(request(), Deadline.after(0.15))).rung is Rung.EXTRACTIVE
    model.gate.set()
    await first
    assert ladder_._admission.costs.predict_ms(Rung.FULL, size_of(request())) >= 0.9 * alone_ms


async def test_shorter_output_when_full_ones_are_too_slow(kit: Any, ladder: Any) -> None:
    """A word takes a step. 35 words are too many for 0.4 s, 17 are not."""
    model, text = kit.Model(step_s=0.01), "word " * 50 + "end."
    ladder_ = ladder(model)
    for _ in range(3):
        reply = await ladder_.climb(request(text=text), Deadline.after(10))
    ladder_._admission.costs.observe(Rung.SHORTER, size_of(request(text=text)), 180.0)
    reply = await ladder_.climb(request(text=text), Deadline.after(0.4))
    assert (reply.rung, reply.reasons) == (Rung.SHORTER, (DegradeReason.DEADLINE_SHORT,))
    assert (reply.summary.num_output_tokens, reply.model_version) == (17, "fake@0123")


async def test_what_cannot_be_shortened_has_no_shorter_rung(kit: Any, ladder: Any) -> None:
    model = kit.Model(encode_s=0.2)
    ladder_ = ladder(model)
    few = replace(request(), max_words=10)
    await ladder_.climb(few, Deadline.after(10))
    model.encode_s = 0.0
    assert (await ladder_.climb(few, Deadline.after(0.2))).rung is Rung.PASSAGES


async def test_what_the_guard_withholds_is_logged(kit: Any, ladder: Any, capfd: pytest.CaptureFixture[str]) -> None:
    reply = await ladder(kit.Model(invents=True)).climb(request(), Deadline.after(10))
    assert (reply.rung, reply.reasons) == (Rung.EXTRACTIVE, (DegradeReason.GUARD_REJECTED,))
    assert '"guard_rejected"' in capfd.readouterr().err


async def test_lead_when_even_an_extract_would_be_late(ladder: Any) -> None:
    reply = await ladder().climb(request(text="Beginning of it. " * 100_000), Deadline.after(0.004))
    assert reply.rung is Rung.LEAD
    assert reply.reasons[0] in (DegradeReason.DEADLINE_SHORT, DegradeReason.DEADLINE_MISSED)
    assert reply.summary.text.startswith("Beginning of it.")
    assert reply.summary.coverage < 0.01


async def test_lead_when_too_many_extracts_are_being_made(ladder: Any) -> None:
    ladder_ = ladder()
    ladder_._num_extracts = ladder_._admission.max_extracts
    reply = await ladder_.climb(request(), Deadline.after(10))
    assert (reply.rung, reply.reasons) == (Rung.LEAD, (DegradeReason.OVERLOADED,))
    ladder_._num_extracts -= 1
    assert (await ladder_.climb(request(), Deadline.after(10))).rung is Rung.EXTRACTIVE


async def test_nothing_after_the_deadline(ladder: Any) -> None:
    with pytest.raises(DeadlineExceeded):
        await ladder().climb(request(), Deadline.after(-1))


async def test_cancelled_climb_cancels_its_job(kit: Any, ladder: Any, eventually: Any) -> None:
    model = kit.Model(step_s=0.02)
    climb = asyncio.ensure_future(ladder(model).climb(request(), Deadline.after(10)))
    await eventually(lambda: model.num_steps == 1)
    climb.cancel()
    await eventually(lambda: model.num_cancelled == 1)
    assert model.num_steps <= 3


def test_lead_skips_blank_space_and_keeps_offsets() -> None:
    text = " \n" * 5000 + "Here it begins. And goes on."
    summary = lead_summary(request(text=text))
    assert summary.text.startswith("Here it begins.")
    for sentence in summary.sentences:
        assert sentence.source is not None
        assert sentence.source.of(text) == sentence.text


def test_lead_reads_a_bounded_beginning() -> None:
    summary = lead_summary(request(text="word " * 100_000))
    assert summary.coverage == LEAD_CHARS / 500_000


def test_readable_bounds_the_number_of_sentences() -> None:
    prose = Document(text="An ordinary sentence of some length stands here. " * 20_000)
    assert readable(prose) is prose
    for shred in ("! ", "!\n", "\u3002", "x\n"):
        shreds = Document(text=shred * 500_000)
        assert readable(shreds).text == shred * MAX_BREAKS


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        ((), False),
        ((SummarySentence(text=" ", source=Span(0, 1)),), False),
        ((SummarySentence(text="Yes.", source=Span(0, 4)),), True),
        ((SummarySentence(text="Yes.", source=Span(0, 4)), SummarySentence(text="No.", source=None)), False),
    ],
)
def test_guard(sentences: tuple[SummarySentence, ...], expected: bool) -> None:
    assert is_supported(Summary(sentences=sentences, coverage=1.0)) is expected


@pytest.mark.parametrize(("seconds", "kept"), [(0.01, 0.003), (0.5, 0.025), (60, 0.1)])
def test_time_is_kept_back_for_the_reply(seconds: float, kept: float) -> None:
    deadline = Deadline.after(seconds)
    assert deadline.at - before_reply(deadline).at == pytest.approx(kept, rel=0.05)
