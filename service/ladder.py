"""The best rung that time and capacity allow. Always answers a valid request that is let in and in time.

full -> shorter -> passages -> extractive -> lead. Admission says where to begin; a rung of the model is left for one
without when it fails, comes too late, or writes what the document does not support; each time the reply says why. A
reply past its time, where the caller has one, stands before the rungs without a model: nothing is made for those then.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from qdts.errors import DeadlineExceeded, Overloaded, QdtsError, Unavailable
from qdts.models.document import Document, Summary
from qdts.service import logs
from qdts.service.admission import Admission, Verdict, size_of, tokens_to_read
from qdts.service.admission_config import AdmissionConfig
from qdts.service.deadline import Clock, Deadline
from qdts.service.engine_face import EngineFace
from qdts.service.extraction import TextThreads, extractive_summary, lead_summary, readable, scaled
from qdts.service.generative import Preparer, SharesStates
from qdts.service.learned import Learned
from qdts.service.metrics import Metrics
from qdts.service.pressure import RUNGS as MODEL_RUNGS
from qdts.service.reply import DegradeReason, Reply, Rung, Timings
from qdts.service.request import Request, Tier
from qdts.service.scheduler import Generated, Prompt

# Kept back for the way out, as a share of what is left and between two bounds: the reply must leave before
# the deadline, not at it.
REPLY_SHARE = 0.05
MIN_REPLY_S, MAX_REPLY_S = 0.003, 0.100
# What an extract takes until it has been measured: so much, and so much per code point.
EXTRACT_GUESS_MS, EXTRACT_GUESS_MS_PER_CHAR = 5.0, 0.001

OnText = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A model and the engine that runs it."""

    summarizer: Preparer
    engine: EngineFace


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    summary: Summary
    timings: Timings = Timings()


class Ladder:
    """Makes replies; keeps none. What it takes is learned over its lifetime."""

    def __init__(
        self,
        *,
        threads: TextThreads,
        generator: Generator | None,
        auto: Tier,
        admission: Admission | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._threads = threads
        self._generator = generator
        self._auto = auto
        self._admission = admission or build_admission(generator, AdmissionConfig(), Metrics())
        self._clock = clock
        self._num_extracts = 0

    @property
    def generator(self) -> Generator | None:
        """The generative model, if there is one."""
        return self._generator

    @property
    def admission(self) -> Admission:
        """What decides where to begin."""
        return self._admission

    @property
    def auto(self) -> Tier:
        """What Tier.AUTO means here: GENERATIVE or FAST."""
        return self._auto if self._generator is not None else Tier.FAST

    def wants_model(self, request: Request) -> bool:
        """Whether the request's tier asks for the model."""
        tier = self.auto if request.tier is Tier.AUTO else request.tier
        return tier is not Tier.FAST

    async def climb(
        self, request: Request, deadline: Deadline, on_text: OnText | None = None, *, stale: Reply | None = None
    ) -> Reply:
        """The best reply that can be had by the deadline; DeadlineExceeded if that has passed.

        `stale` is better than what is made without a model for want of one.
        """
        if self._generator is None or not self.wants_model(request):
            return await self.climb_from(Rung.EXTRACTIVE, request, deadline, stale=stale)
        verdict = self._admission.decide(request, self.model_deadline(request, deadline))
        if verdict.rung not in MODEL_RUNGS:
            return await self.climb_from(verdict.rung, request, deadline, verdict.reasons, stale=stale)
        made = await self._try(verdict, request, deadline, on_text)
        if isinstance(made, DegradeReason):
            reasons = (*verdict.reasons, made)
            return await self.climb_from(Rung.EXTRACTIVE, request, deadline, reasons, stale=stale)
        return self._reply(verdict.rung, made, verdict.reasons)

    async def climb_from(
        self,
        rung: Rung,
        request: Request,
        deadline: Deadline,
        reasons: Sequence[DegradeReason] = (),
        *,
        stale: Reply | None = None,
    ) -> Reply:
        """As climb, from EXTRACTIVE or LEAD down; `reasons` say why not better."""
        if deadline.expired:
            raise DeadlineExceeded("the deadline passed before an answer could be made")
        if reasons and stale is not None:
            return replace(stale, reasons=tuple(dict.fromkeys(reasons)))
        missed: tuple[DegradeReason, ...] = ()
        if rung is Rung.EXTRACTIVE:
            made = await self._try_extractive(request, deadline)
            if isinstance(made, _Made):
                return self._reply(rung, made, reasons)
            missed = (made,)
            if stale is not None:
                return replace(stale, reasons=missed)
        return self._reply(Rung.LEAD, _Made(summary=lead_summary(request)), (*reasons, *missed))

    def model_deadline(self, request: Request, deadline: Deadline) -> Deadline:
        """When the model must be done so that an extractive answer could still be made."""
        extractive_ms = self._admission.costs.predict_ms(Rung.EXTRACTIVE, size_of(request))
        if extractive_ms is None:
            extractive_ms = EXTRACT_GUESS_MS + EXTRACT_GUESS_MS_PER_CHAR * request.num_chars
        # Never more than half of what is left: a slow fallback must not crowd out what it falls back from.
        return before_reply(deadline).sooner(min(extractive_ms / 1000, deadline.remaining_s / 2))

    async def _try(
        self, verdict: Verdict, request: Request, deadline: Deadline, on_text: OnText | None
    ) -> _Made | DegradeReason:
        assert self._generator is not None
        until = self.model_deadline(request, deadline)
        started_at, budget_s = self._clock(), until.remaining_s
        with ExitStack() as on_its_way:
            # Counted from here on, not from when the text has been read: others are deciding meanwhile.
            on_its_way.enter_context(self._generator.engine.expecting(request.priority))
            work = self._generate(verdict, request, until, on_text, on_its_way.close)
            made = await settle(work, until)
        took_s = self._clock() - started_at
        if made is DegradeReason.DEADLINE_MISSED:
            self._admission.observe_missed(request, verdict, took_s, budget_s=budget_s)
        if isinstance(made, DegradeReason):
            return made
        queue_s = made.timings.queue_ms / 1000
        self._admission.observe(request, verdict, took_s, queue_s=queue_s, budget_s=budget_s)
        if not is_supported(made.summary):
            logs.warning("guard_rejected", rung=verdict.rung.name.lower(), num_sentences=len(made.summary.sentences))
            return DegradeReason.GUARD_REJECTED
        return made

    async def _generate(
        self,
        verdict: Verdict,
        request: Request,
        until: Deadline,
        on_text: OnText | None,
        prepared: Callable[[], None],
    ) -> _Made:
        assert self._generator is not None
        summarizer, words = self._generator.summarizer, self._admission.words(verdict.rung, request)
        is_short = verdict.rung is Rung.PASSAGES

        def prepare() -> tuple[Document, Prompt]:
            read = readable(request.document)
            prompt = summarizer.prepare(request.query, read, max_words=words, passages_only=is_short)
            if isinstance(summarizer, SharesStates):
                summarizer.fetch(prompt, within_s=until.remaining_s)
            return read, prompt

        read, prompt = await self._threads.run(prepare, until, is_for_model=True)
        prepared()  # from here on the engine counts it itself
        generated = await self._generator.engine.generate(
            prompt,
            deadline=until,
            priority=request.priority,
            num_tokens=tokens_to_read(request),
            on_text=on_text,
        )
        return _Made(summary=scaled(generated.summary, read, request.document), timings=_timings(generated))

    async def _try_extractive(self, request: Request, deadline: Deadline) -> _Made | DegradeReason:
        until, costs, size = before_reply(deadline), self._admission.costs, size_of(request)
        predicted_ms = costs.predict_ms(Rung.EXTRACTIVE, size) or 0.0
        if predicted_ms > until.remaining_s * 1000 or until.expired:
            costs.forgive(Rung.EXTRACTIVE, size)
            return DegradeReason.DEADLINE_SHORT
        if self._num_extracts >= self._admission.max_extracts:
            return DegradeReason.OVERLOADED
        started_at = self._clock()
        made = await settle(self._extract(request, until), until)
        took_ms = (self._clock() - started_at) * 1000
        if isinstance(made, _Made):
            costs.observe(Rung.EXTRACTIVE, size, took_ms)
        elif made is DegradeReason.DEADLINE_MISSED:
            costs.observe_at_least(Rung.EXTRACTIVE, size, took_ms)
        return made

    async def _extract(self, request: Request, until: Deadline) -> _Made:
        self._num_extracts += 1
        try:
            return _Made(summary=await self._threads.run(partial(extractive_summary, request), until))
        finally:
            self._num_extracts -= 1

    def _reply(self, rung: Rung, made: _Made, reasons: Sequence[DegradeReason]) -> Reply:
        by_model = self._generator is not None and rung in MODEL_RUNGS
        return Reply(
            summary=made.summary,
            rung=rung,
            origin_rung=rung,
            reasons=tuple(dict.fromkeys(reasons)),
            model_version=self._generator.summarizer.version if by_model and self._generator else "",
            timings=made.timings,
        )


def build_admission(
    generator: Generator | None,
    config: AdmissionConfig,
    metrics: Metrics,
    clock: Clock = time.monotonic,
    learned: Learned | None = None,
) -> Admission:
    """What decides for a ladder with this generator. Without anything `learned` it begins with nothing."""
    engine, summarizer = (None, None) if generator is None else (generator.engine, generator.summarizer)
    return Admission(
        engine=engine, config=config, metrics=metrics.admission, summarizer=summarizer, learned=learned, clock=clock
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
