"""The in-process client answers as a server would, and refuses what a server refuses."""

import threading
from typing import Any

import pytest

from qdts.errors import InvalidRequest
from qdts.models.document import Document
from qdts.service.local import LocalClient


async def test_answers_with_the_model(kit: Any) -> None:
    async with LocalClient(kit.config(), load=lambda config: kit.Model()) as client:
        reply = await client.summarize("When was the lighthouse built?", kit.LIGHTHOUSE, max_words=20)
    assert reply.rung == "full"
    assert reply.model_version == "fake@0123"
    assert reply.sentences[0].source_span is not None


async def test_answers_without_a_model(kit: Any) -> None:
    async with LocalClient(kit.config(), load=lambda config: None) as client:
        reply = await client.summarize("When was it built?", Document(text=kit.LIGHTHOUSE), tier="generative")
    assert (reply.rung, reply.degrade_reasons) == ("extractive", ("no_model",))


async def test_a_fault_of_the_model_costs_a_rung_not_the_answer(kit: Any) -> None:
    model = kit.Model(step_error=RuntimeError("broken"))
    async with LocalClient(kit.config(), load=lambda config: model) as client:
        reply = await client.summarize("When was it built?", kit.LIGHTHOUSE)
    assert (reply.rung, reply.degrade_reasons) == ("extractive", ("engine_failed",))


async def test_death_of_the_engine_is_logged(kit: Any, eventually: Any, capfd: pytest.CaptureFixture[str]) -> None:
    model = kit.Model(step_error=SystemExit("gone"))
    said: list[str] = []
    async with LocalClient(kit.config(), load=lambda config: model) as client:
        assert (await client.summarize("When was it built?", kit.LIGHTHOUSE)).rung == "extractive"
        # The engine's thread says so when it ends, which need not be before the answer without it is made.
        await eventually(lambda: said.append(capfd.readouterr().err) or '"engine_down"' in "".join(said), timeout_s=30)


async def test_refuses_what_a_server_refuses(kit: Any) -> None:
    async with LocalClient(kit.config(), load=lambda config: None) as client:
        with pytest.raises(InvalidRequest, match="query: is blank"):
            await client.summarize("\u200b", kit.LIGHTHOUSE)


async def test_leaves_no_thread_behind(kit: Any) -> None:
    before = {*threading.enumerate()}
    async with LocalClient(kit.config(), load=lambda config: kit.Model()) as client:
        await client.summarize("When was it built?", kit.LIGHTHOUSE)
        [engine] = [thread for thread in {*threading.enumerate()} - before if thread.name == "engine"]
    assert not engine.is_alive()
