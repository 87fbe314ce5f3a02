"""What is decided before any work is done. The whole of it under load: overload/test_overload.py."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from qdts.errors import ConfigError, Draining, Overloaded
from qdts.models.document import Document
from qdts.service.admission import Admission, size_of, steps_of, tokens_to_read
from qdts.service.admission_config import AdmissionConfig
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.metrics import Metrics
from qdts.service.reply import DegradeReason, Rung
from qdts.service.request import Priority, Request, Tier


class Clock:
    now = 70.0

    def __call__(self) -> float:
        return self.now


REQUEST = Request(query="q", document=Document(text="x" * 400), document_sha256="", max_words=40)


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="metrics")
def _metrics() -> Metrics:
    return Metrics()


@pytest.fixture(name="build")
async def _build(kit: Any, clock: Clock, metrics: Metrics) -> AsyncIterator[Callable[..., Admission]]:
    """An admission to an engine of two places and a queue of four, in which nothing runs unless it is expected."""
    engines: list[Engine] = []

    def build(step_ms: Any = None, **settings: Any) -> Admission:
        config = AdmissionConfig(**settings)
        model = kit.Model()
        if step_ms is not None:
            model.step_ms = step_ms
        engines.append(Engine(model, max_batch=2, max_queue=4, max_encode_tokens=100, admission=config))
        engines[-1].start(lambda: None)
        return Admission(engine=engines[-1], config=config, metrics=metrics.admission, summarizer=model, clock=clock)

    yield build
    for engine in engines:
        engine.stop(Draining("bye"), timeout_s=5)


def learn(admission: Admission, **times_ms: float) -> None:
    for rung, time_ms in times_ms.items():
        for _ in range(10):
            admission.costs.observe(Rung[rung.upper()], size_of(REQUEST), time_ms)


@pytest.mark.parametrize(
    ("left_s", "rung"),
    [(0.21, Rung.FULL), (0.19, Rung.SHORTER), (0.14, Rung.PASSAGES), (0.04, Rung.EXTRACTIVE), (0.0, Rung.EXTRACTIVE)],
)
async def test_the_best_rung_that_fits(build: Any, clock: Clock, left_s: float, rung: Rung) -> None:
    admission = build()
    learn(admission, full=200, shorter=150, passages=50)
    verdict = admission.decide(REQUEST, Deadline.after(left_s, clock))
    assert verdict.rung is rung
    assert verdict.reasons == (() if rung is Rung.FULL else (DegradeReason.DEADLINE_SHORT,))


async def test_the_wait_counts(build: Any, clock: Clock) -> None:
    admission = build()
    learn(admission, full=200, shorter=150, passages=50)
    with ExitStack() as others:
        for _ in range(3):
            others.enter_context(admission._engine.expecting(Priority.INTERACTIVE))
        wait_s = admission._engine.wait_s(Priority.INTERACTIVE)
        assert wait_s > 0.05
        assert admission.decide(REQUEST, Deadline.after(0.21, clock)).rung is not Rung.FULL
        assert admission.decide(REQUEST, Deadline.after(0.21 + wait_s, clock)).rung is Rung.FULL
    assert admission.decide(REQUEST, Deadline.after(0.21, clock)).rung is Rung.FULL


async def test_a_first_try_is_worth_it(build: Any, clock: Clock) -> None:
    assert build().decide(REQUEST, Deadline.after(0.001, clock)).rung is Rung.FULL


async def test_before_the_first_try_measured_steps_say_what_it_takes(build: Any, clock: Clock) -> None:
    """A step a word, of 5 ms: 200 ms for 40 words, 100 ms for the half of them."""
    admission = build(step_ms=lambda batch: 5.0 * batch)
    assert admission.decide(REQUEST, Deadline.after(0.25, clock)).rung is Rung.FULL
    assert admission.decide(REQUEST, Deadline.after(0.15, clock)).rung is Rung.SHORTER
    assert admission.decide(REQUEST, Deadline.after(0.05, clock)).rung is Rung.EXTRACTIVE


async def test_measured_steps_do_not_keep_a_rung_from_ever_being_tried(build: Any, clock: Clock) -> None:
    """Drafts may make it faster than a step a word."""
    admission = build(step_ms=lambda batch: 5.0 * batch)
    few = replace(REQUEST, max_words=10)
    rungs = [admission.decide(few, Deadline.after(0.03, clock)).rung for _ in range(60)]
    assert rungs[0] is Rung.EXTRACTIVE and rungs[-1] is Rung.FULL


async def test_predictions_are_for_the_batch_it_will_be_part_of(build: Any, clock: Clock) -> None:
    admission = build(step_ms=lambda batch: 5.0 * batch)
    learn(admission, full=200, shorter=200, passages=200)
    with admission._engine.expecting(Priority.INTERACTIVE):
        verdict = admission.decide(REQUEST, Deadline.after(10, clock))
    assert (verdict.batch, verdict.predicted_ms, verdict.had_place) == (2, 400, True)


async def test_more_than_may_be_inside_go_down_the_ladder(build: Any, clock: Clock) -> None:
    admission = build()
    with ExitStack() as others:
        for _ in range(6):
            others.enter_context(admission._engine.expecting(Priority.BULK))
        verdict = admission.decide(REQUEST, Deadline.after(100, clock))
    assert (verdict.rung, verdict.reasons) == (Rung.EXTRACTIVE, (DegradeReason.OVERLOADED,))


async def test_latency_far_above_that_without_load_closes_the_model(build: Any, clock: Clock) -> None:
    admission = build()
    learn(admission, full=10)
    verdict = replace(admission.decide(REQUEST, Deadline.after(10, clock)), had_place=False)
    assert admission.learned.limit.limit == 6
    for _ in range(50):
        admission.observe_missed(REQUEST, verdict, 1.0, budget_s=0.1)
    assert admission.learned.limit.limit == 4, "half of it, and room of its square root"


async def test_lower_classes_leave_room(build: Any) -> None:
    admission = build(max_requests=10)
    with ExitStack() as inside:
        for priority, room in ((Priority.BULK, 6), (Priority.PREFETCH, 2), (Priority.INTERACTIVE, 2)):
            for _ in range(room):
                inside.enter_context(admission.entering(priority))
            with pytest.raises(Overloaded) as caught:
                inside.enter_context(admission.entering(priority))
            assert 0.03 < caught.value.retry_after_s < 0.2
    for _ in range(20):
        with admission.entering(Priority.BULK):
            pass


async def test_those_who_are_refused_together_come_back_at_different_times(build: Any) -> None:
    admission, times = build(max_requests=1), set[float]()
    with admission.entering(Priority.INTERACTIVE):
        for _ in range(50):
            with pytest.raises(Overloaded) as caught, admission.entering(Priority.INTERACTIVE):
                pass
            times.add(caught.value.retry_after_s)
    assert len(times) == 50 and 0.04 <= min(times) < max(times) <= 0.06


async def test_pressure_of_one_class_is_not_that_of_another(build: Any, clock: Clock) -> None:
    admission = build()
    bulk = replace(REQUEST, priority=Priority.BULK)
    with ExitStack() as others:
        for _ in range(5):
            others.enter_context(admission._engine.expecting(Priority.BULK))
        for _ in range(100):
            clock.now += 0.01
            admission.decide(bulk, Deadline.after(0.5, clock))
    verdict = admission.decide(bulk, Deadline.after(10, clock))
    assert (verdict.rung, verdict.reasons) == (Rung.PASSAGES, (DegradeReason.OVERLOADED,))
    assert admission.decide(REQUEST, Deadline.after(10, clock)).rung is Rung.FULL


async def test_canaries_are_so_many_of_those_that_left_it_to_us(build: Any, clock: Clock) -> None:
    admission = build(canary_share=0.1)
    for tier, num_canaries in ((Tier.GENERATIVE, 0), (Tier.AUTO, 10)):
        asked = replace(REQUEST, tier=tier)
        verdicts = [admission.decide(asked, Deadline.after(10, clock)) for _ in range(101)]
        canaries = [verdict.rung for verdict in verdicts if DegradeReason.CANARY in verdict.reasons]
        assert len(canaries) == num_canaries
        assert tier is Tier.GENERATIVE or len(set(canaries)) == 4


async def test_without_a_share_there_are_no_canaries(build: Any, clock: Clock) -> None:
    admission = build(canary_share=0.0)
    assert all(admission.decide(REQUEST, Deadline.after(10, clock)).rung is Rung.FULL for _ in range(2000))


async def test_how_right_predictions_are_is_measured(build: Any, clock: Clock, metrics: Metrics) -> None:
    admission = build()
    learn(admission, full=200)
    verdict = admission.decide(REQUEST, Deadline.after(10, clock))
    admission.observe(REQUEST, verdict, 0.35, queue_s=0.1, budget_s=10)
    value = metrics.value
    assert value("qdts_prediction_ratio_sum", rung="full") == pytest.approx(0.25 / 0.2)
    assert value("qdts_prediction_ratio_bucket", rung="full", le="1.25") == 1
    assert admission.learned.limit.limit == 6


def test_words_of_a_shorter_output() -> None:
    admission = Admission(engine=None, config=AdmissionConfig(), metrics=Metrics().admission)
    words = [admission.words(Rung.SHORTER, replace(REQUEST, max_words=number)) for number in (100, 40, 15, 10, 5)]
    assert words == [50, 20, 10, 10, 5]
    assert admission.words(Rung.FULL, REQUEST) == 40


def test_sizes() -> None:
    long = replace(REQUEST, document=Document(text="x" * 100_000))
    assert (size_of(REQUEST), tokens_to_read(REQUEST)) == (100, 100)
    assert (size_of(long), tokens_to_read(long)) == (25_000, 512)
    assert size_of(replace(REQUEST, document=Document(text="x"))) == 1


def test_a_model_may_know_its_steps(kit: Any) -> None:
    class Timed(kit.Model):  # type: ignore[misc]
        def step_ms(self, batch: int) -> float:
            return 2.0 * batch

    timed = steps_of(Timed())
    assert timed is not None and timed(3) == 6.0
    assert steps_of(kit.Model()) is None
    unmeasured = Timed()
    unmeasured.step_ms = lambda batch: 0.0
    assert steps_of(unmeasured) is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"canary_share": 0.5}, r"admission\.canary_share = 0\.5: must be between 0 and 0\.1"),
        ({"bulk_share": 0.3, "prefetch_share": 0.3}, r"bulk_share: must be at most 0\.5 together"),
        ({"max_requests": 0}, r"admission\.max_requests"),
    ],
)
def test_settings_out_of_bounds(settings: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        AdmissionConfig(**settings)


def test_shares_and_targets() -> None:
    config = AdmissionConfig(prefetch_share=0.2, bulk_share=0.1, queue_target_ms=20, queue_target_share=0.2)
    assert [round(config.share(priority), 3) for priority in Priority] == [0.7, 0.2, 0.1]
    assert [config.queue_target_s(budget_s) for budget_s in (0.05, 2.0)] == [0.02, 0.4]
