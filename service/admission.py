"""Predict, then admit: which rung a request gets, decided before any work is done for it. Runs nothing.

A rung of the model is taken when the wait for a place, by what is queued now, and the rung's own time, by the cost
table, fit into what is left. Before that: the model may have too many inside (concurrency.py), and under load the best
rung on offer is a lower one (pressure.py). After it, one in many is a canary and gets a lower rung, so that none is
ever untried.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qdts.errors import Overloaded
from qdts.service.admission_config import AdmissionConfig
from qdts.service.admission_metrics import AdmissionMetrics
from qdts.service.costs import FORGIVENESS
from qdts.service.deadline import Clock, Deadline
from qdts.service.engine_face import EngineFace
from qdts.service.generative import Preparer, TimesSteps
from qdts.service.learned import Learned
from qdts.service.pressure import RUNGS, Pressure
from qdts.service.reply import DegradeReason, Rung
from qdts.service.request import Priority, Request, Tier
from qdts.service.retry_after import RetryAfter

# Sizes are the document's tokens, estimated before it is read; nobody reads more than so many at once.
CHARS_PER_TOKEN, MAX_TOKENS = 4, 512
# A shorter output is worth a rung of its own down to so many words.
LEAST_WORDS = 10
# Where passages have never been read: about so much of a full reading.
PASSAGES_GUESS = 0.5
# Under pressure nobody is let in to wait for more targets than this.
MOST_WAIT = 1.5
# How full the server may be for a class to come in: above, the rest is for the higher ones.
ROOM = {Priority.INTERACTIVE: 1.0, Priority.PREFETCH: 0.8, Priority.BULK: 0.6}
CANARY_RUNGS = (Rung.SHORTER, Rung.PASSAGES, Rung.EXTRACTIVE, Rung.LEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The rung to begin with, and why not a better one. `batch` is the one it was predicted for."""

    rung: Rung
    reasons: tuple[DegradeReason, ...] = ()
    batch: int = 1
    predicted_ms: float | None = None  # without the wait; None: nothing is known
    had_place: bool = True


class Admission:
    """For one model, in one event loop; what it learns is the server's."""

    def __init__(
        self,
        *,
        engine: EngineFace | None,
        config: AdmissionConfig,
        metrics: AdmissionMetrics,
        summarizer: Preparer | None = None,
        learned: Learned | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._engine = engine
        self._config = config
        self._metrics = metrics
        self._step_ms = steps_of(summarizer)
        self._trust = 1.0  # in what follows from measured steps alone
        self._clock = clock
        self.learned = learned or _nothing_learned(engine, config)
        self.costs = self.learned.costs_of(summarizer.version if summarizer else "", self._step_ms)
        self._retry_after = RetryAfter()

    @property
    def max_extracts(self) -> int:
        """Extracts that may be made, or wait for a thread, at once."""
        return self._config.max_extracts

    @contextmanager
    def entering(self, priority: Priority) -> Iterator[None]:
        """Within the block a reply is being made. Overloaded if there are as many as there may be."""
        if self.learned.inside.total() >= max(1, int(ROOM[priority] * self._config.max_requests)):
            self._metrics.observe_shed(priority, "requests")
            raise Overloaded("too many requests are being answered", retry_after_s=self._retry_after_s(priority))
        self.learned.inside[priority] += 1
        try:
            yield
        finally:
            self.learned.inside[priority] -= 1

    def decide(self, request: Request, until: Deadline) -> Verdict:
        """The best rung that is likely to be done by `until`: one of the model's, or EXTRACTIVE, or a canary's."""
        verdict = self._decide(request, until)
        if verdict.reasons or request.tier is not Tier.AUTO or not self._is_canary():
            return verdict
        rung = CANARY_RUNGS[self.learned.num_canaries % len(CANARY_RUNGS)]
        self.learned.num_canaries += 1
        return self._verdict(rung, request, (DegradeReason.CANARY,), wait_s=0.0)

    def _decide(self, request: Request, until: Deadline) -> Verdict:
        assert self._engine is not None
        wait_s, left_s = self._engine.wait_s(request.priority), until.remaining_s
        wait = wait_s / self._config.queue_target_s(left_s) if left_s else 0.0
        pressure = self._observe_pressure(request.priority, wait)
        if self._engine.num_inside >= self.learned.limit.limit or (pressure.level and wait > MOST_WAIT):
            return Verdict(rung=Rung.EXTRACTIVE, reasons=(DegradeReason.OVERLOADED,))
        reasons = (DegradeReason.OVERLOADED,) if pressure.level else ()
        for rung in RUNGS[pressure.level :]:
            if rung is Rung.SHORTER and self.words(rung, request) == request.max_words:
                continue
            verdict = self._verdict(rung, request, reasons, wait_s=wait_s)
            if left_s and wait_s + (verdict.predicted_ms or 0.0) / 1000 <= left_s:
                return verdict
            if verdict.had_place:  # else it is the queue that keeps the rung from being tried
                self.costs.forgive(rung, size_of(request), verdict.batch)
                self._trust *= FORGIVENESS
            reasons = (*reasons, DegradeReason.DEADLINE_SHORT)
        return Verdict(rung=Rung.EXTRACTIVE, reasons=tuple(dict.fromkeys(reasons)))

    def _observe_pressure(self, priority: Priority, wait: float) -> Pressure:
        pressure = self.learned.pressures[priority]
        pressure.observe(wait, now_s=self._clock())
        self._metrics.observe_pressure(priority, pressure.level)
        return pressure

    def _verdict(self, rung: Rung, request: Request, reasons: tuple[DegradeReason, ...], *, wait_s: float) -> Verdict:
        assert self._engine is not None
        batch = self._engine.next_batch
        return Verdict(
            rung=rung,
            reasons=tuple(dict.fromkeys(reasons)),
            batch=batch,
            predicted_ms=self._predict_ms(rung, request, batch),
            had_place=wait_s == 0.0,
        )

    def _predict_ms(self, rung: Rung, request: Request, batch: int) -> float | None:
        """Without the wait. A rung that was never taken borrows from a full reading, that from measured steps."""
        size = size_of(request)
        known = self.costs.predict_ms(rung, size, batch)
        if known is not None or rung not in RUNGS:
            return known
        full_ms = self.costs.predict_ms(Rung.FULL, size, batch)
        if full_ms is not None:
            return full_ms * (PASSAGES_GUESS if rung is Rung.PASSAGES else 1.0)
        return None if self._step_ms is None else self._trust * self._step_ms(batch) * self.words(rung, request)

    def words(self, rung: Rung, request: Request) -> int:
        """How many words a rung may write."""
        if rung is Rung.FULL:
            return request.max_words
        return min(request.max_words, max(LEAST_WORDS, int(self._config.shorter_share * request.max_words)))

    def observe(self, request: Request, verdict: Verdict, took_s: float, *, queue_s: float, budget_s: float) -> None:
        """A rung of the model has answered, `took_s` after it was admitted, of which it waited `queue_s`."""
        took_ms = (took_s - queue_s) * 1000
        if verdict.predicted_ms:
            self._metrics.observe_prediction(verdict.rung, took_ms / verdict.predicted_ms)
        self.costs.observe(verdict.rung, size_of(request), took_ms, verdict.batch)
        self._observe_latency(request, verdict, took_s, budget_s)

    def observe_missed(self, request: Request, verdict: Verdict, took_s: float, *, budget_s: float) -> None:
        """A rung of the model was given up after `took_s`."""
        if verdict.had_place:
            self.costs.observe_at_least(verdict.rung, size_of(request), took_s * 1000, verdict.batch)
        self._observe_latency(request, verdict, took_s, budget_s)

    def _observe_latency(self, request: Request, verdict: Verdict, took_s: float, budget_s: float) -> None:
        assert self._engine is not None
        alone_s = (self.costs.predict_ms(verdict.rung, size_of(request), 1) or 0.0) / 1000
        tolerated_s = max(self._config.limit_tolerance * alone_s, budget_s / 2)
        self.learned.limit.observe(took_s, tolerated_s=tolerated_s, num_inside=self._engine.num_inside + 1)

    def _is_canary(self) -> bool:
        """Every so many of those that asked for the best and could have it."""
        self.learned.canaries_due += self._config.canary_share
        if self.learned.canaries_due < 1:
            return False
        self.learned.canaries_due -= 1
        return True

    def _retry_after_s(self, priority: Priority) -> float:
        wait_s = self._engine.wait_s(priority) if self._engine is not None else 0.0
        return self._retry_after.about(max(0.05, wait_s))


def size_of(request: Request) -> int:
    """The document's size, about, in tokens."""
    return max(1, request.num_chars // CHARS_PER_TOKEN)


def tokens_to_read(request: Request) -> int:
    """What it counts for in the engine's queue, about."""
    return min(size_of(request), MAX_TOKENS)


def steps_of(summarizer: Preparer | None) -> Callable[[int], float] | None:
    """The milliseconds of a step by batch, where the model has measured them."""
    if isinstance(summarizer, TimesSteps) and summarizer.step_ms(1) > 0:
        return summarizer.step_ms
    return None


def _nothing_learned(engine: EngineFace | None, config: AdmissionConfig) -> Learned:
    if engine is None:
        return Learned(config, least=1, most=1)
    return Learned.of_engine(config, num_places=engine.num_places, max_queue=engine.capacity - engine.num_places)
