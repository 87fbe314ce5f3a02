"""A front and the engines that are newest, from start to swap."""

import asyncio
from typing import Any

import pytest

from qdts.errors import ConfigError, Unavailable, WeightsError
from qdts.models.document import Document
from qdts.service.application import Application
from qdts.service.deadline import Deadline
from qdts.service.generative import TimesSteps
from qdts.service.processes.connect import connect
from qdts.service.reply import Rung
from qdts.service.request import Request, Tier


def front_of(hosts: Any, reader: Any) -> Application:
    """An application whose reader the test chooses; it loads nothing else."""

    async def join(config: Any, on_death: Any) -> Any:
        return await connect(config, on_death, load=lambda engine: reader, patience_s=0.1)

    return Application(hosts.config(), load=lambda engine: pytest.fail("a front loads no model"), join=join)


async def reply(front: Application, number: int = 0, text: str = "The tower was built in 1874.") -> Any:
    answerer: Any = front._servicer.answerer
    document = Document(text=f"{text} Number {number} is here.")
    request = Request(query="tower", document=document, document_sha256=f"{number}", max_words=9, tier=Tier.GENERATIVE)
    return await answerer.answer(request, Deadline.after(20))


@pytest.fixture(name="reader_of")
def _reader_of(hosts: Any) -> Any:
    async def reader_of(model: Any) -> Any:
        _, reader = await hosts.front(model)
        return reader

    return reader_of


async def test_a_front_answers_with_the_engines_model(hosts: Any, kit: Any, reader_of: Any) -> None:
    host, model = await hosts.engine()
    front = front_of(hosts, await reader_of(model))
    await front.start()
    answer = await reply(front)
    assert (answer.rung, answer.model_version) == (Rung.FULL, "fake@0123")
    assert answer.summary.text == "The tower was built in 1874."
    assert model.num_starts == 2, "its warm-up, and this"
    assert front.metrics.value("qdts_batch_size_count") == 0, "what the engine counts stands with the engine"
    assert host.metrics.value("qdts_batch_size_count") >= 2
    await front.stop()


async def test_a_swap_goes_to_the_newest_generation(hosts: Any, kit: Any, reader_of: Any, eventually: Any) -> None:
    """Calls that are on the one before end there, and then nobody is connected to it."""
    old, old_model = await hosts.engine(kit.Model(step_s=0.01))
    reader = await reader_of(old_model)
    front = front_of(hosts, reader)
    await front.start()
    running = asyncio.ensure_future(reply(front, text="The old tower " + "is very old " * 3 + "indeed."))
    await eventually(lambda: old_model.num_steps > 3)
    new, new_model = await hosts.engine(kit.Model(), generation=2)
    front.swap_model()
    await eventually(lambda: new_model.num_starts == 1, timeout_s=20)
    assert (await running).rung is Rung.FULL
    await eventually(lambda: old._door.num_fronts == 1, timeout_s=20)  # the fixture's own
    before = old_model.num_starts
    assert (await reply(front, 2)).rung is Rung.FULL
    assert old_model.num_starts == before and new_model.num_starts == 2
    await front.stop()


async def test_a_swap_to_engines_that_are_not_there_changes_nothing(hosts: Any, reader_of: Any, directory: Any) -> None:
    _, model = await hosts.engine()
    front = front_of(hosts, await reader_of(model))
    await front.start()
    (directory / "generation").write_text("7")
    front.swap_model()
    await asyncio.sleep(0.3)
    assert (await reply(front)).rung is Rung.FULL
    await front.stop()


async def test_engines_of_another_model_are_refused(hosts: Any, kit: Any) -> None:
    host, _ = await hosts.engine()
    other = kit.Model(version="other@9")
    with pytest.raises(WeightsError, match=r"run fake@0123, in its directory lies other@9"):
        await hosts.front(other)
    for _ in range(100):
        await asyncio.sleep(0.001)
    assert host._door.num_fronts == 0


async def test_it_waits_for_engines_that_come_late(hosts: Any, kit: Any) -> None:
    model = kit.Model()
    waiting = asyncio.ensure_future(hosts.front(model))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await hosts.engine(model)
    engine, _ = await waiting
    assert engine.is_alive


async def test_no_engine_comes(hosts: Any, kit: Any) -> None:
    with pytest.raises(Unavailable, match="no engine is ready yet"):
        await connect(hosts.config(), lambda: None, load=lambda engine: kit.Model(), patience_s=0.05)


async def test_no_model_no_engine(hosts: Any, directory: Any) -> None:
    (directory / "generation").write_text("0\nnone\n")
    assert await connect(hosts.config(), lambda: None) is None


async def test_it_reads_with_the_model_of_the_engines_that_it_goes_to(hosts: Any, kit: Any, directory: Any) -> None:
    """Whatever engine.model names, and also where a newer generation comes while it waits for one that is gone."""
    asked: list[str] = []
    models = {"/models/old": kit.Model(version="old@1"), "/models/new": kit.Model(version="new@2")}

    def load(engine: Any) -> Any:
        asked.append(engine.model)
        return type(reader)(models[engine.model])

    await hosts.engine(models["/models/new"], generation=2)
    _, reader = await hosts.front(models["/models/new"])
    (directory / "generation").write_text("1\n/models/old\n")
    joining = asyncio.ensure_future(connect(hosts.config(), lambda: None, load=load))
    while not asked:
        await asyncio.sleep(0.01)
    (directory / "generation").write_text("2\n/models/new\n")
    generator = await joining
    hosts.generators.append(generator)
    assert generator is not None and generator.summarizer.version == "new@2"
    assert asked == ["/models/old", "/models/new"]


async def test_a_directory_that_is_not_private_is_refused(hosts: Any, kit: Any, directory: Any) -> None:
    directory.chmod(0o755)
    with pytest.raises(ConfigError, match="0700"):
        await connect(hosts.config(), lambda: None, load=lambda engine: kit.Model())
    directory.chmod(0o700)


async def test_what_steps_take_is_told(hosts: Any, kit: Any, reader_of: Any) -> None:
    """By the engine, which has measured it; admission asks the front's side."""
    timed = type("Timed", (kit.Model,), {"step_ms": lambda model, batch: 2.0 + batch})()
    await hosts.engine(timed)
    await hosts.front(timed)
    summarizer = hosts.generators[0].summarizer
    assert isinstance(summarizer, TimesSteps)
    assert [summarizer.step_ms(batch) for batch in (1, 4, 9)] == [3.0, 6.0, 6.0]
