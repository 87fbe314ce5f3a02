"""The shipped model behind the real server, where one document's states turn into NaN: nobody reads garbage for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from qdts.models.document import Document
from qdts.models.runtimes.base import Floats, States
from qdts.models.shipped import find_model
from qdts.models.summarizer import Summarizer, SummarizerConfig
from qdts.service.application import Application
from qdts.service.config import DeadlineConfig, EngineConfig, ListenConfig, MetricsConfig, ServerConfig
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

FINE = (
    "The lighthouse was built in 1874 on the northern cape. Its lamp could be seen for thirty miles. Keepers lived "
    "there until 1981, when the light became automatic. In 1990 a storm took the roof of the boat house."
)
BAD = (
    "Pterosaurs flew over the lakes of the late Cretaceous. The largest of them had a wingspan of ten metres. Its "
    "fossils were found in Texas in 1971. What it ate is still disputed: some say carrion, others small dinosaurs."
)
GENERATIVE = pb.SummarizeOptions(tier=pb.TIER_GENERATIVE, cache_policy=pb.CACHE_POLICY_BYPASS)


class Damaged(Summarizer):
    """`lengths`: a document of so many tokens is read as NaN."""

    lengths: set[int]
    num_in_batches: list[int]

    def damage(self) -> None:
        self.lengths, self.num_in_batches = set(), []
        project, step = self._runtime._project, self._runtime.step  # type: ignore[attr-defined]

        def damaged(states: States, features: Floats | None) -> list[Floats]:
            arrays = project(states, features)
            return [np.full_like(each, np.nan) for each in arrays] if len(states.hidden) in self.lengths else arrays

        def counted(batch: Any, tokens: Any, *rest: Any) -> Any:
            self.num_in_batches.append(len(tokens))
            return step(batch, tokens, *rest)

        self._runtime._project, self._runtime.step = damaged, counted  # type: ignore[attr-defined,method-assign]


@pytest.fixture
async def served() -> AsyncIterator[tuple[Damaged, Any, Application]]:
    path = find_model("")
    assert path is not None
    # Token by token, so that there is time to join.
    model = Damaged.load(path, SummarizerConfig(num_threads=1, max_batch=4, max_draft=0))
    model.damage()
    config = ServerConfig(
        server=ListenConfig(port=0, drain_delay_s=0.0),
        deadlines=DeadlineConfig(default_ms=60_000, max_ms=120_000),
        metrics=MetricsConfig(enabled=False),
        engine=EngineConfig(auto="generative", max_batch=4),
    )
    application = Application(config, load=lambda _: model)
    await application.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{application.port}") as channel:
        yield model, pb_grpc.SummarizationServiceStub(channel), application
    await application.stop()


def request(text: str) -> pb.SummarizeRequest:
    return pb.SummarizeRequest(query="When, and where?", document=pb.Document(text=text), options=GENERATIVE)


async def test_it_ends_on_a_lower_rung_with_a_reason_and_harms_nobody(served: tuple[Damaged, Any, Application]) -> None:
    model, stub, application = served
    expected = await stub.Summarize(request(FINE), timeout=60)
    assert expected.rung == pb.RUNG_FULL
    prompt = model.prepare("When, and where?", Document(text=BAD), max_words=60)
    model.lengths.add(len(prompt.encoder_ids))
    assert len(model.prepare("When, and where?", Document(text=FINE), max_words=60).encoder_ids) not in model.lengths
    for _ in range(2):
        texts = [FINE, BAD, FINE, FINE]
        model.num_in_batches.clear()
        replies = await asyncio.gather(*(stub.Summarize(request(text), timeout=60) for text in texts))
        for text, reply in zip(texts, replies, strict=True):
            if text == FINE:
                assert (reply.rung, reply.summary) == (pb.RUNG_FULL, expected.summary)
            else:
                assert reply.rung == pb.RUNG_EXTRACTIVE
                assert list(reply.degrade_reasons) == [pb.DEGRADE_REASON_ENGINE_FAILED]
                assert reply.summary and all(piece in BAD for piece in reply.summary.split(". "))
        assert max(model.num_in_batches) > 1
    assert application.health.state.value == "ready"
