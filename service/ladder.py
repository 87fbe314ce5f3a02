"""The best rung that time and capacity allow. Always answers a valid request whose deadline has not passed.

full -> passages -> extractive -> lead. A rung is skipped when its predicted time does not fit, and left for
the next one when it fails, comes too late, or writes what the document does not support; each time the reply
says why. Shorter outputs and stale replies stand between these on the public ladder: the first is reserved,
the second is answering.py's.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from qdts.errors import DeadlineExceeded, Overloaded, QdtsError, Unavailable
from qdts.models.document import Document, Summary
from qdts.service import logs
from qdts.service.costs import CostTable
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.extraction import TextThreads, extractive_summary, lead_summary, readable, scaled
from qdts.service.generative import Summarizer
from qdts.service.reply import DegradeReason, Reply, Rung, Timings
from qdts.service.request import Request, Tier
from qdts.service.scheduler import Generated, Prompt

# Kept back for the way out, as a share of what is left and between two bounds: the reply must leave before
# the deadline, not at it.
REPLY_SHARE = 0.05
MIN_REPLY_S, MAX_REPLY_S = 0.003, 0.100
# What an extract takes until it has been measured: so much, and so much per code point.
EXTRACT_GUESS_MS, EXTRACT_GUESS_MS_PER_CHAR = 5.0, 0.001
# What each batch ahead in the engine's queue takes, until a full reading has been measured.
FULL_GUESS_MS = 100.0
# Reading fewer passages takes about so much of a full reading, until it has been measured.
PASSAGES_GUESS = 0.5

OnText = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A model and the engine that runs it."""

    summarizer: Summarizer
    engine: Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    summary: Summary
    timings: Timings = Timings()


class Ladder:
    """Makes replies; keeps none. Its costs are learned over its lifetime."""

    def __init__(self, *, threads: TextThreads, generator: Generator | None, auto: Tier) -> None:
        self._threads = threads
        self._generator = generator
        self._auto = auto
        self._costs = CostTable()

    @property
    def generator(self) -> Generator | None:
        """The generative model, if there is one."""
        return self._generator

    @property
    def auto(self) -> Tier:
        """What Tier.AUTO means here: GENERATIVE or FAST."""
        return self._auto if self._generator is not None else Tier.FAST

    def wants_model(self, request: Request) -> bool:
        """Whether the request's tier asks for the model."""
        tier = self.auto if request.tier is Tier.AUTO else request.tier
        return tier is not Tier.FAST

    async def climb(self, request: Request, deadline: Deadline, on_text: OnText | None = None) -> Reply:
        """The best reply that can be had by the deadline; DeadlineExceeded if that has passed."""
        if self._generator is None or not self.wants_model(request):
            return await self.climb_from(Rung.EXTRACTIVE, request, deadline)
        rung = self._generative_rung(request, deadline)
        if rung is None:
            reasons = (DegradeReason.DEADLINE_SHORT,)
            return await self.climb_from(Rung.EXTRACTIVE, request, deadline, reasons)
        reasons = (DegradeReason.DEADLINE_SHORT,) if rung is Rung.PASSAGES else ()
        made = await self._try(rung, request, deadline, on_text)
        if isinstance(made, DegradeReason):
            return await self.climb_from(Rung.EXTRACTIVE, request, deadline, (*reasons, made))
        return self._reply(rung, made, reasons)

    async def climb_from(
        self, rung: Rung, request: Request, deadline: Deadline, reasons: Sequence[DegradeReason] = ()
    ) -> Reply:
        """As climb, from EXTRACTIVE or LEAD down; `reasons` say why not better."""
        if deadline.expired:
            raise DeadlineExceeded("the deadline passed before an answer could be made")
        missed: tuple[DegradeReason, ...] = ()
        if rung is Rung.EXTRACTIVE:
            made = await self._try_extractive(request, deadline)
            if isinstance(made, _Made):
                return self._reply(rung, made, reasons)
            missed = (made,)
        return self._reply(Rung.LEAD, _Made(summary=lead_summary(request)), (*reasons, *missed))

    def _generative_rung(self, request: Request, deadline: Deadline) -> Rung | None:
        """The best generative rung whose predicted time fits, the wait for the engine included."""
        left_ms = self.model_deadline(request, deadline).remaining_s * 1000
        for rung in (Rung.FULL, Rung.PASSAGES):
            predicted_ms = self._predict_ms(rung, request.num_chars)
            if predicted_ms <= left_ms and left_ms > 0:
                return rung
            if self._has_free_place:  # else it is the queue that keeps the rung from being tried
                self._costs.forgive(rung, request.num_chars)
        return None

    @property
    def _has_free_place(self) -> bool:
        return self._generator is None or self._generator.engine.num_batches_ahead == 0

    def _predict_ms(self, rung: Rung, size: int) -> float:
        assert self._generator is not None
        full_ms = self._costs.predict_ms(Rung.FULL, size)
        alone_ms = full_ms or 0.0  # a first try is worth it, however little time there is
        if rung is Rung.PASSAGES:
            alone_ms = self._costs.predict_ms(Rung.PASSAGES, size) or alone_ms * PASSAGES_GUESS
        return alone_ms + (full_ms or FULL_GUESS_MS) * self._generator.engine.num_batches_ahead

    def model_deadline(self, request: Request, deadline: Deadline) -> Deadline:
        """When the model must be done so that an extractive answer could still be made."""
        extractive_ms = self._costs.predict_ms(Rung.EXTRACTIVE, request.num_chars)
        if extractive_ms is None:
            extractive_ms = EXTRACT_GUESS_MS + EXTRACT_GUESS_MS_PER_CHAR * request.num_chars
        # Never more than half of what is left: a slow fallback must not crowd out what it falls back from.
        return before_reply(deadline).sooner(min(extractive_ms / 1000, deadline.remaining_s / 2))

    async def _try(
        self, rung: Rung, request: Request, deadline: Deadline, on_text: OnText | None
    ) -> _Made | DegradeReason:
        assert self._generator is not None
        until = self.model_deadline(request, deadline)
        had_place = self._has_free_place
        with ExitStack() as on_its_way:
            # Counted from here on, not from when the text has been read: others are deciding meanwhile.
            on_its_way.enter_context(self._generator.engine.expecting())
            is_short = rung is Rung.PASSAGES
            work = self._generate(request, until, on_text, passages_only=is_short, prepared=on_its_way.close)
            made = await self._timed(rung, request, until, work, had_place=had_place)
        if isinstance(made, _Made) and not is_supported(made.summary):
            logs.warning("guard_rejected", rung=rung.name.lower(), num_sentences=len(made.summary.sentences))
            return DegradeReason.GUARD_REJECTED
        return made

    async def _try_extractive(self, request: Request, deadline: Deadline) -> _Made | DegradeReason:
        until = before_reply(deadline)
        predicted_ms = self._costs.predict_ms(Rung.EXTRACTIVE, request.num_chars) or 0.0
        if predicted_ms > until.remaining_s * 1000 or until.expired:
            self._costs.forgive(Rung.EXTRACTIVE, request.num_chars)
            return DegradeReason.DEADLINE_SHORT
        had_place = self._has_free_place
        work = self._extract(request, until)
        return await self._timed(Rung.EXTRACTIVE, request, until, work, had_place=had_place)

    async def _timed(
        self,
        rung: Rung,
        request: Request,
        until: Deadline,
        work: Coroutine[None, None, _Made],
        *,
        had_place: bool,
    ) -> _Made | DegradeReason:
        """What `work` makes by `until`, or why it made nothing; its time is learned."""
        started_at = time.monotonic()
        made = await settle(work, until)
        took_ms = (time.monotonic() - started_at) * 1000
        if made is DegradeReason.DEADLINE_MISSED and had_place:
            self._costs.observe_at_least(rung, request.num_chars, took_ms)
        if isinstance(made, _Made):
            # The wait for the engine is predicted from the queue's length, so it must not count twice.
            self._costs.observe(rung, request.num_chars, took_ms - made.timings.queue_ms)
        return made

    async def _generate(
        self,
        request: Request,
        until: Deadline,
        on_text: OnText | None,
        *,
        passages_only: bool,
        prepared: Callable[[], None],
    ) -> _Made:
        assert self._generator is not None
        summarizer = self._generator.summarizer

        def prepare() -> tuple[Document, Prompt]:
            read = readable(request.document)
            words = request.max_words
            return read, summarizer.prepare(request.query, read, max_words=words, passages_only=passages_only)

        read, prompt = await self._threads.run(prepare, until)
        prepared()  # from here on the engine counts it itself
        generated = await self._generator.engine.generate(
            prompt, deadline=until, priority=request.priority, on_text=on_text
        )
        return _Made(summary=scaled(generated.summary, read, request.document), timings=_timings(generated))

    async def _extract(self, request: Request, until: Deadline) -> _Made:
        return _Made(summary=await self._threads.run(partial(extractive_summary, request), until))

    def _reply(self, rung: Rung, made: _Made, reasons: Sequence[DegradeReason]) -> Reply:
        by_model = self._generator is not None and rung in (Rung.FULL, Rung.PASSAGES)
        return Reply(
            summary=made.summary,
            rung=rung,
            origin_rung=rung,
            reasons=tuple(dict.fromkeys(reasons)),
            model_version=self._generator.summarizer.version if by_model and self._generator else "",
            timings=made.timings,
        )


def before_reply(deadline: Deadline) -> Deadline:
    """The deadline with time kept back for sending the reply."""
    return deadline.sooner(min(max(REPLY_SHARE * deadline.remaining_s, MIN_REPLY_S), MAX_REPLY_S))


def is_supported(summary: Summary) -> bool:
    """The guard: something is said, and the document says each sentence of it."""
    return bool(summary.text.strip()) and all(sentence.source is not None for sentence in summary.sentences)


async def settle(work: Coroutine[None, None, _Made], until: Deadline) -> _Made | DegradeReason:
    """The work's result, or why there is none by `until`. The work is cancelled with the caller."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=until.remaining_s)
    finally:
        task.cancel()  # changes nothing when it is done
    if not task.done() or task.cancelled():
        return DegradeReason.DEADLINE_MISSED
    error = task.exception()
    return task.result() if error is None else _reason(error)


def _reason(error: BaseException) -> DegradeReason:
    if isinstance(error, Overloaded):
        return DegradeReason.OVERLOADED
    if isinstance(error, DeadlineExceeded):
        return DegradeReason.DEADLINE_MISSED
    if not isinstance(error, Unavailable):
        logs.fault("rung_failed", error, deliberate=isinstance(error, QdtsError))
    return DegradeReason.ENGINE_FAILED


def _timings(generated: Generated) -> Timings:
    return Timings(queue_ms=generated.queue_ms, encode_ms=generated.encode_ms, decode_ms=generated.decode_ms)
