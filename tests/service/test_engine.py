"""The thread that owns the model."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from qdts.errors import Draining, Unavailable
from qdts.models.document import Document
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine

Start = Callable[..., Engine]


@pytest.fixture(name="start")
async def _start() -> AsyncIterator[Start]:
    engines: list[Engine] = []

    def start(model: Any, **bounds: int) -> Engine:
        settings: dict[str, Any] = {"max_batch": 4, "max_queue": 100} | bounds
        engines.append(Engine(model, **settings))
        engines[-1].start(lambda: None)
        return engines[-1]

    yield start
    for engine in engines:
        engine.stop(Draining("bye"), timeout_s=5)
        assert not engine.is_alive


def prompt(model: Any, text: str = "One two three four.") -> Any:
    return model.prepare("q", Document(text=text), max_words=35)


async def test_jobs_that_wait_share_a_batch(kit: Any, start: Start, eventually: Any) -> None:
    model = kit.Model()
    engine = start(model)
    model.gate.clear()
    jobs = [asyncio.ensure_future(engine.generate(prompt(model), deadline=Deadline.after(10)))]
    await eventually(lambda: model.num_steps == 1)
    jobs += [
        asyncio.ensure_future(engine.generate(prompt(model, f"Number {i}."), deadline=Deadline.after(10)))
        for i in range(6)
    ]
    await asyncio.sleep(0.01)
    assert engine.num_batches_ahead == 2
    model.gate.set()
    results = await asyncio.gather(*jobs)
    assert [result.summary.text for result in results[1:]] == [f"Number {i}." for i in range(6)]
    assert model.batch_sizes == [1, 4, 2]
    assert all(result.queue_ms > 0 for result in results)


async def test_one_cancelled_job_leaves_its_batch_mates_alone(kit: Any, start: Start, eventually: Any) -> None:
    model = kit.Model(step_s=0.02)
    engine = start(model)
    model.gate.clear()
    blocker = asyncio.ensure_future(engine.generate(prompt(model, "A b."), deadline=Deadline.after(10)))
    await eventually(lambda: model.num_steps == 1)
    gone, stays = (
        asyncio.ensure_future(engine.generate(prompt(model, f"{i} two three four."), deadline=Deadline.after(10)))
        for i in range(2)
    )
    await asyncio.sleep(0)
    model.gate.set()
    await eventually(lambda: model.num_starts == 2)
    gone.cancel()
    assert (await stays).summary.text == "1 two three four."
    assert (await blocker).summary.text == "A b."
    assert model.num_cancelled == 1


async def test_result_that_cannot_be_read_fails_its_job_at_once(
    kit: Any, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = kit.Model()
    engine = start(model)

    def fail(*_: object) -> None:
        raise ValueError("no such piece")

    monkeypatch.setattr(type(model.start([])), "summary", fail)
    with pytest.raises(Unavailable):
        async with asyncio.timeout(2):
            await engine.generate(prompt(model), deadline=Deadline.after(30))


async def test_expected_jobs_are_counted_until_they_come(kit: Any, start: Start) -> None:
    engine = start(kit.Model(), max_batch=2)
    with engine.expecting(), engine.expecting(), engine.expecting():
        assert engine.num_batches_ahead == 2
    assert engine.num_batches_ahead == 0


async def test_text_grows_word_by_word(kit: Any, start: Start) -> None:
    model = kit.Model(step_s=0.005)
    engine = start(model)
    heard: list[str] = []
    await engine.generate(prompt(model), deadline=Deadline.after(10), on_text=heard.append)
    assert heard == ["One", "One two", "One two three"]


async def test_failed_batch_fails_all_of_its_jobs_and_no_other(kit: Any, start: Start) -> None:
    model = kit.Model(step_error=RuntimeError("x"))
    engine = start(model)
    with pytest.raises(Unavailable):
        await engine.generate(prompt(model), deadline=Deadline.after(10))
    model.step_error = None
    assert (await engine.generate(prompt(model), deadline=Deadline.after(10))).summary.text


async def test_engine_that_never_worked_gives_up(kit: Any, eventually: Any) -> None:
    model = kit.Model(start_error=RuntimeError("x"))
    died = threading.Event()
    engine = Engine(model, max_batch=1, max_queue=10)
    engine.start(died.set)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await engine.generate(prompt(model), deadline=Deadline.after(10))
    await eventually(died.is_set)
    with pytest.raises(Unavailable, match="down"):
        await engine.generate(prompt(model), deadline=Deadline.after(10))


async def test_stop_lets_what_runs_finish_and_fails_what_waits(kit: Any, eventually: Any) -> None:
    model = kit.Model(step_s=0.02)
    engine = Engine(model, max_batch=1, max_queue=10)
    engine.start(lambda: None)
    runs = asyncio.ensure_future(engine.generate(prompt(model), deadline=Deadline.after(10)))
    await eventually(lambda: model.num_steps == 1)
    waits = asyncio.ensure_future(engine.generate(prompt(model), deadline=Deadline.after(10)))
    await asyncio.sleep(0)
    await asyncio.to_thread(engine.stop, Draining("bye"), timeout_s=5)
    assert (await runs).summary.text == "One two three four."
    with pytest.raises(Draining):
        await waits
