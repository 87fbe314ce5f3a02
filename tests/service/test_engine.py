"""The thread that owns the model."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from random import Random
from typing import Any

import pytest

from qdts.errors import DeadlineExceeded, Draining, Unavailable
from qdts.models.document import Document
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.request import Priority

Start = Callable[..., Engine]


@pytest.fixture(name="start")
async def _start() -> AsyncIterator[Start]:
    engines: list[Engine] = []

    def start(model: Any, **bounds: Any) -> Engine:
        settings: dict[str, Any] = {"max_batch": 4, "max_queue": 100, "max_encode_tokens": 1000} | bounds
        engines.append(Engine(model, **settings))
        engines[-1].start(lambda: None)
        return engines[-1]

    yield start
    for engine in engines:
        engine.stop(Draining("bye"), timeout_s=5)
        assert not engine.is_alive


def prompt(model: Any, text: str = "One two three four.") -> Any:
    return model.prepare("q", Document(text=text), max_words=1000)


def ask(engine: Engine, model: Any, text: str, seconds: float = 10) -> "asyncio.Future[Any]":
    return asyncio.ensure_future(engine.generate(prompt(model, text), deadline=Deadline.after(seconds)))


async def test_jobs_that_wait_join_what_runs(kit: Any, start: Start, eventually: Any) -> None:
    model = kit.Model()
    engine = start(model)
    model.gate.clear()
    jobs = [ask(engine, model, "One two three four five six.")]
    await eventually(lambda: model.num_steps == 1)
    jobs += [ask(engine, model, f"Number {i}.") for i in range(6)]
    await asyncio.sleep(0.01)
    assert (engine.num_inside, engine.num_waiting) == (7, 6)
    model.gate.set()
    results = await asyncio.gather(*jobs)
    assert [result.summary.text for result in results[1:]] == [f"Number {i}." for i in range(6)]
    assert model.batch_sizes == [1, 3, 3], "four places; when three of them are free again, the others"
    assert model.num_steps == 6, "all were written while the first one was"
    assert all(result.queue_ms > 0 for result in results)


async def test_a_job_starts_and_ends_while_another_is_written(kit: Any, start: Start, eventually: Any) -> None:
    model = kit.Model(step_s=0.01)
    engine = start(model)
    long = ask(engine, model, "word " * 100 + "end.")
    await eventually(lambda: model.num_steps == 2)
    heard: list[str] = []
    short = await engine.generate(prompt(model, "Quick and short."), deadline=Deadline.after(10), on_text=heard.append)
    assert (short.summary.text, heard) == ("Quick and short.", ["Quick", "Quick and"])
    assert not long.done() and model.num_steps < 60
    model.step_s = 0.0
    assert short.decode_ms == pytest.approx(30)
    assert (await long).summary.text.endswith("end.")


async def test_a_burst_is_read_in_portions(kit: Any, start: Start, eventually: Any) -> None:
    """Between two steps of what is being written, no more than the bound is read."""
    model = kit.Model()
    engine = start(model, max_encode_tokens=5)
    model.gate.clear()
    jobs = [ask(engine, model, "One two three four five six.")]
    await eventually(lambda: model.num_steps == 1)
    jobs += [ask(engine, model, text) for text in ("A b.", "A b c.", "A b c d e f.")]
    await asyncio.sleep(0.01)
    model.gate.set()
    await asyncio.gather(*jobs)
    assert model.batch_sizes == [1, 2, 1]


async def test_one_cancelled_job_leaves_its_batch_mates_alone(kit: Any, start: Start, eventually: Any) -> None:
    model = kit.Model(step_s=0.02)
    engine = start(model)
    gone = ask(engine, model, "0 two three four.")
    stays = ask(engine, model, "1 two three four.")
    await eventually(lambda: model.num_starts >= 1 and model.num_steps >= 1)
    gone.cancel()
    assert (await stays).summary.text == "1 two three four."
    assert model.num_cancelled == 1
    assert model.num_written < 8


async def test_a_place_is_free_one_step_after_its_job_was_cancelled(kit: Any, start: Start, eventually: Any) -> None:
    model = kit.Model(step_s=0.005)
    engine = start(model, max_batch=1)
    model.gate.clear()
    gone = ask(engine, model, "word " * 50 + "end.")
    await eventually(lambda: model.num_steps == 1)
    waits = ask(engine, model, "Quick.")
    gone.cancel()
    await asyncio.sleep(0.01)
    assert engine.num_inside == 2
    model.gate.set()
    assert (await waits).summary.text == "Quick."
    assert (model.num_steps, model.num_cancelled) == (2, 1)


async def test_an_expired_job_gives_up_its_place(kit: Any, start: Start, eventually: Any) -> None:
    model = kit.Model(step_s=0.01)
    engine = start(model, max_batch=2)
    stays = ask(engine, model, "word " * 40 + "end.")
    late = ask(engine, model, "word " * 40 + "end.", seconds=0.1)
    with pytest.raises(DeadlineExceeded):
        await late
    assert (await ask(engine, model, "Quick.")).summary.text == "Quick."
    assert not stays.done()
    stays.cancel()


async def test_what_cannot_be_read_fails_alone(kit: Any, start: Start, eventually: Any) -> None:
    """Neither those that are being written nor those that came with it."""
    model = kit.Model(poison="Poison")
    engine = start(model)
    model.gate.clear()
    runs = ask(engine, model, "One two three.")
    await eventually(lambda: model.num_steps == 1)
    good, bad, fine = (ask(engine, model, text) for text in ("Good one.", "Poison here.", "Fine too."))
    await asyncio.sleep(0.01)
    model.gate.set()
    with pytest.raises(Unavailable):
        await bad
    results = await asyncio.gather(runs, good, fine)
    assert [result.summary.text for result in results] == ["One two three.", "Good one.", "Fine too."]


async def test_poison_while_others_are_written_does_not_end_the_engine(kit: Any, start: Start, eventually: Any) -> None:
    model = kit.Model(poison="Poison", step_s=0.005)
    engine = start(model)
    await ask(engine, model, "Good.")
    long = ask(engine, model, "word " * 20 + "end.")
    for _ in range(4):
        with pytest.raises(Unavailable, match="generation failed"):
            await ask(engine, model, "Poison.")
    assert (await long).summary.text.endswith("end.")
    assert engine.is_alive


async def test_result_that_cannot_be_read_fails_its_job_at_once(kit: Any, start: Start) -> None:
    model = kit.Model(unspeakable="Bad", step_s=0.005)
    engine = start(model)
    mate = ask(engine, model, "word " * 10 + "end.")
    with pytest.raises(Unavailable):
        async with asyncio.timeout(2):
            await ask(engine, model, "Bad luck.", seconds=30)
    assert (await mate).summary.text.endswith("end.")


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_becomes_of_jobs_no_place_is_lost(kit: Any, start: Start, eventually: Any, seed: int) -> None:
    """Hundreds that are answered, cancelled, late, unreadable, unspeakable or the end of their batch."""
    random, model = Random(seed), kit.Model(poison="Poison", unspeakable="Bad", toxic="Toxic", step_s=0.0002)
    engine = start(model, max_batch=3, max_queue=1000, max_encode_tokens=12)
    await ask(engine, model, "Good.")
    jobs: list[tuple[str, asyncio.Future[Any]]] = []
    hasty = set[str]()  # may have no time for a second try
    for number in range(300):
        first = random.choice(("Fine", "Fine", "Fine", "Poison", "Bad", "Toxic"))
        text = f"{first} {number} " + "word " * random.randrange(9) + "end."
        seconds = random.choice((0.01, 30, 30, 30))
        jobs.append((text, ask(engine, model, text, seconds=seconds)))
        hasty |= {text} if seconds < 1 else set()
        if random.random() < 0.3:
            asyncio.get_running_loop().call_later(0.01 * random.random(), random.choice(jobs)[1].cancel)
        if random.random() < 0.5:
            await asyncio.sleep(0.002 * random.random())
    answers = await asyncio.gather(*(job for _, job in jobs), return_exceptions=True)
    for (text, _), answer in zip(jobs, answers, strict=True):
        if isinstance(answer, BaseException):
            assert isinstance(answer, (asyncio.CancelledError, DeadlineExceeded, Unavailable))
            assert not isinstance(answer, Unavailable) or text in hasty or not text.startswith("Fine")
        else:
            assert answer.summary.text == text and text.startswith("Fine")
    assert sum(not isinstance(answer, BaseException) for answer in answers) > 50
    await eventually(lambda: engine._generation is None)
    assert engine.is_alive and not engine._open and not engine._arriving and engine.num_waiting == 0


async def test_expected_jobs_are_counted_until_they_come(kit: Any, start: Start) -> None:
    engine = start(kit.Model(), max_batch=2)
    first, other = Priority.INTERACTIVE, Priority.BULK
    with engine.expecting(first):
        assert (engine.num_inside, engine.wait_s(first)) == (1, 0.0)
        with engine.expecting(other):
            assert engine.num_inside == 2 and engine.wait_s(first) > 0
    assert (engine.num_inside, engine.wait_s(first)) == (0, 0.0)


async def test_text_grows_word_by_word(kit: Any, start: Start) -> None:
    model = kit.Model(step_s=0.005)
    engine = start(model)
    heard: list[str] = []
    await engine.generate(prompt(model), deadline=Deadline.after(10), on_text=heard.append)
    assert heard == ["One", "One two", "One two three"]


async def test_steps_that_fail_whoever_they_are_for_fail_those_and_no_other(
    kit: Any, start: Start, eventually: Any
) -> None:
    model = kit.Model(step_s=0.005)
    engine = start(model)
    jobs = [ask(engine, model, "word " * 100 + "end.")]
    await eventually(lambda: model.num_steps >= 1)
    jobs.append(ask(engine, model, "word " * 100 + "end."))
    await eventually(lambda: model.batch_sizes == [1, 1])
    model.step_error = RuntimeError("x")
    for job in jobs:
        with pytest.raises(Unavailable):
            await job
    model.step_error = None
    assert (await engine.generate(prompt(model), deadline=Deadline.after(10))).summary.text


class Now:
    """A clock that shows what it is set to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Batch:
    """Jobs that are written together from the second step on, on a clock of their own."""

    def __init__(self, kit: Any, start: Start, eventually: Any, **faults: Any) -> None:
        self.model, self.clock, self._eventually = kit.Model(**faults), Now(), eventually
        self.engine = start(self.model, clock=self.clock)
        self.prompts: list[Any] = []
        self.heard: list[list[str]] = []
        self.jobs: list[asyncio.Future[Any]] = []

    async def ask(self, *texts: str, seconds: Sequence[float] = ()) -> None:
        """Queue these, 60 seconds each unless said otherwise; the gate is closed within the first one's first step."""
        self.model.gate.clear()
        for text, left in zip_longest(texts, seconds, fillvalue=60):
            self.prompts.append(prompt(self.model, str(text)))
            self.heard.append([])
            deadline = Deadline.after(float(left), self.clock)
            work = self.engine.generate(self.prompts[-1], deadline=deadline, on_text=self.heard[-1].append)
            self.jobs.append(asyncio.ensure_future(work))
            await self._eventually(lambda: self.model.num_steps == 1 and self.engine.num_inside == self.num_open)

    @property
    def num_open(self) -> int:
        return sum(not job.done() for job in self.jobs)

    def hold_at_reading(self, number: int) -> None:
        """Close the gate once documents have been read so many times."""
        read = self.model.read

        def held(prompts: Any) -> None:
            read(prompts)
            if self.model.num_starts == number:
                self.model.gate.clear()

        self.model.read = held

    async def go_on(self, until_step: int = 0) -> None:
        """Open the gate, and wait until this step has begun."""
        self.model.gate.set()
        await self._eventually(lambda: self.model.num_steps >= until_step)

    async def outcomes(self) -> list[str]:
        """What became of each: the text, or the error's name."""
        answers = await asyncio.gather(*self.jobs, return_exceptions=True)
        return [type(each).__name__ if isinstance(each, BaseException) else each.summary.text for each in answers]


MakeBatch = Callable[..., Batch]


@pytest.fixture(name="batch")
def _batch(kit: Any, start: Start, eventually: Any) -> MakeBatch:
    return lambda **faults: Batch(kit, start, eventually, **faults)


async def test_a_row_whose_steps_fail_fails_alone(batch: MakeBatch) -> None:
    one = batch(toxic="Bad")
    await one.ask("A two three.", "Bad two three.", "B two three.", "C two three.", "Late comer.")
    await one.go_on()
    assert await one.outcomes() == ["A two three.", "Unavailable", "B two three.", "C two three.", "Late comer."]
    assert one.model.batch_sizes == [1, 3, 1, 1, 1, 1, 1], "read together, then each by itself; then who came later"
    assert one.model.step_sizes.count(4) == 1 and set(one.model.step_sizes) == {1, 4}
    assert one.engine.is_alive and one.engine.num_inside == 0


async def test_what_is_too_much_at_once_is_written_one_by_one(batch: MakeBatch) -> None:
    """Memory that runs out costs nobody but time; afterwards batches are as they were."""
    one = batch(max_rows=3)
    texts = [f"Number {i} three." for i in range(4)]
    await one.ask(*texts)
    await one.go_on()
    assert await one.outcomes() == texts
    one.model.forget()
    await one.ask(*texts[:3])
    await one.go_on()
    assert await one.outcomes() == [*texts, *texts[:3]]
    assert one.model.step_sizes[1] == 3


async def test_second_tries_go_by_deadline_and_those_who_left_get_none(batch: MakeBatch) -> None:
    one = batch(max_rows=1)
    one.hold_at_reading(3)
    await one.ask("Last two.", "Gone two.", "Soon two.", "Late two.", seconds=(90, 70, 60, 5))
    await one.go_on(until_step=3)
    assert one.engine.num_running == one.engine.num_inside == 4, "who is to be tried again has its place"
    one.clock.now += 6
    one.jobs[1].cancel()
    ended: list[str] = []
    for job, name in zip(one.jobs, ("last", "gone", "soon", "late"), strict=True):
        job.add_done_callback(lambda _, name=name: ended.append(name))
    await one.go_on()
    assert await one.outcomes() == ["Last two.", "CancelledError", "Soon two.", "DeadlineExceeded"]
    assert ended == ["gone", "late", "soon", "last"]
    assert len(one.model.batch_sizes) == 5, "the one that was gone is not read"


async def test_who_has_no_time_for_what_it_took_so_far_is_not_tried_again(batch: MakeBatch) -> None:
    """Two were written for 8 s: neither can be where it was in less than 4."""
    one = batch(max_rows=1)
    one.hold_at_reading(2)
    await one.ask("Enough two three.", "Short two three.", seconds=(20, 11))
    await one.go_on(until_step=2)
    one.clock.now += 8
    await one.go_on()
    assert await one.outcomes() == ["Enough two three.", "Unavailable"]
    assert one.model.batch_sizes == [1, 1, 1]


@pytest.mark.parametrize("reading", [2, 3])
async def test_nothing_is_begun_again_once_the_engine_is_to_stop(
    batch: MakeBatch, eventually: Any, reading: int
) -> None:
    """Neither when the step fails after that, nor when a second try was running: that one may finish."""
    one = batch(max_rows=1)
    one.hold_at_reading(reading)
    await one.ask("A two.", "B two.", "C two.", seconds=(10, 20, 30))
    await one.go_on(until_step=reading)
    stopped = asyncio.ensure_future(asyncio.to_thread(one.engine.stop, Draining("bye"), timeout_s=20))
    await eventually(lambda: one.engine._scheduler.closed_by is not None)
    await one.go_on()
    await stopped
    assert not one.engine.is_alive
    assert await one.outcomes() == ["Draining" if reading == 2 else "A two.", "Draining", "Draining"]
    assert one.model.num_starts == reading


@pytest.mark.parametrize("is_changed", [False, True])
async def test_text_that_was_shown_stays_a_beginning(batch: MakeBatch, is_changed: bool) -> None:
    """Nobody hears the beginning twice, and who would have to take it back fails."""
    one = batch(max_rows=1)
    one.hold_at_reading(2)
    await one.ask("A two three.", "B two three.")
    await one.go_on(until_step=2)
    assert one.heard == [["A"], []]
    if is_changed:  # as by another order of the same sums
        one.prompts[0].sentence = replace(one.prompts[0].sentence, text="Not as before.")
    await one.go_on()
    assert await one.outcomes() == ["Unavailable" if is_changed else "A two three.", "B two three."]
    assert one.heard == [["A"] if is_changed else ["A", "A two"], ["B", "B two"]]
    assert one.engine.num_inside == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_ends_fails_those_who_were_to_be_tried_again(batch: MakeBatch) -> None:
    one = batch(max_rows=1)
    one.hold_at_reading(3)
    await one.ask("A two.", "B two.", "C two.")
    await one.go_on(until_step=3)
    one.model.step_error = SystemExit()
    await one.go_on()
    assert await one.outcomes() == ["Unavailable"] * 3
    assert one.engine.num_inside == 0


async def test_a_model_that_fails_whatever_it_does_is_given_up_as_before(batch: MakeBatch) -> None:
    one = batch()
    await one.ask(*(f"Number {i}." for i in range(4)))
    one.model.step_error = RuntimeError("device lost")
    await one.go_on()
    assert await one.outcomes() == ["Unavailable"] * 4
    assert one.model.num_starts == 4, "one at first, and three that were to be told from poison"


async def test_engine_that_never_worked_gives_up(kit: Any, eventually: Any) -> None:
    model = kit.Model(start_error=RuntimeError("x"))
    died = threading.Event()
    engine = Engine(model, max_batch=1, max_queue=10, max_encode_tokens=100)
    engine.start(died.set)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await engine.generate(prompt(model), deadline=Deadline.after(10))
    await eventually(died.is_set)
    with pytest.raises(Unavailable, match="down"):
        await engine.generate(prompt(model), deadline=Deadline.after(10))


async def test_stop_lets_what_runs_finish_and_fails_what_waits(kit: Any, eventually: Any) -> None:
    model = kit.Model(step_s=0.02)
    engine = Engine(model, max_batch=1, max_queue=10, max_encode_tokens=100)
    engine.start(lambda: None)
    runs = asyncio.ensure_future(engine.generate(prompt(model), deadline=Deadline.after(10)))
    await eventually(lambda: model.num_steps == 1)
    waits = asyncio.ensure_future(engine.generate(prompt(model), deadline=Deadline.after(10)))
    await asyncio.sleep(0)
    await asyncio.to_thread(engine.stop, Draining("bye"), timeout_s=5)
    assert (await runs).summary.text == "One two three four."
    with pytest.raises(Draining):
        await waits


async def test_what_cannot_be_counted_fails_alone(kit: Any, start: Start) -> None:
    """A prompt from another process may be anything."""
    model = kit.Model()
    engine = start(model)
    fine = [ask(engine, model, f"Number {i}.") for i in range(3)]
    bad = asyncio.ensure_future(engine.generate(object(), deadline=Deadline.after(10)))
    fine += [ask(engine, model, f"Number {i}.") for i in range(3, 6)]
    with pytest.raises(Unavailable):
        await bad
    assert [(await each).summary.text for each in fine] == [f"Number {i}." for i in range(6)]
    assert engine.is_alive


async def test_how_many_would_be_written_with_one_more(kit: Any, start: Start, eventually: Any) -> None:
    model = kit.Model()
    engine = start(model, max_batch=2)
    assert engine.next_batch == 1 and engine.taken_s is None
    model.gate.clear()
    jobs = [ask(engine, model, f"Number {i}.") for i in range(5)]
    await eventually(lambda: engine.num_inside == 5 and model.num_steps == 1)
    assert engine.next_batch == 2 and sum(engine.num_by_class.values()) == engine.num_waiting
    model.gate.set()
    await asyncio.gather(*jobs)
    assert engine.taken_s is not None and engine.taken_s > 0
