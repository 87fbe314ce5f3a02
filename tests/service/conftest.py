"""A real grpc.aio server on a free port, with a fake model whose pace and faults the test decides."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.models.runtimes.base import RuntimeInfo
from qdts.models.text.sentences import split_sentences
from qdts.service import logs
from qdts.service.application import Application
from qdts.service.config import (
    CacheConfig,
    DeadlineConfig,
    EngineConfig,
    ListenConfig,
    MetricsConfig,
    ServerConfig,
)
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

LIGHTHOUSE = (
    "The lighthouse was built in 1874 on the northern cape. Its lamp could be seen from thirty kilometres. "
    "Keepers lived there until 1981, when the light became automatic."
)


@dataclass
class FakePrompt:
    """The document's first sentence, to be written word by word."""

    sentence: SummarySentence
    coverage: float = 1.0


class FakeGeneration:
    """One word per step and sequence."""

    def __init__(self, model: "FakeSummarizer", prompts: Sequence[FakePrompt]) -> None:
        self._model = model
        self._prompts: dict[int, FakePrompt] = {}
        self._words: dict[int, list[str]] = {}
        self._written: dict[int, int] = {}
        self._num_opened = 0
        self._open(prompts)

    def _open(self, prompts: Sequence[FakePrompt]) -> list[int]:
        indices = [self._num_opened + place for place in range(len(prompts))]
        for index, prompt in zip(indices, prompts, strict=True):
            self._prompts[index] = prompt
            self._words[index] = prompt.sentence.text.split()
            self._written[index] = 0
        self._num_opened += len(prompts)
        return indices

    @property
    def active(self) -> tuple[int, ...]:
        return tuple(index for index, words in self._words.items() if self._written[index] < len(words))

    def join(self, prompts: Sequence[FakePrompt]) -> list[int]:
        self._model.read(prompts)
        return self._open(prompts)

    def step(self) -> None:
        self._model.num_steps += 1
        time.sleep(self._model.step_s)
        self._model.gate.wait(10)
        if self._model.step_error is not None:
            raise self._model.step_error
        self._model.step_sizes.append(len(self.active))
        toxic, room = self._model.toxic, self._model.max_rows
        if toxic and any(self._prompts[index].sentence.text.startswith(toxic) for index in self.active):
            raise FloatingPointError("not a number")
        if room is not None and len(self.active) > room:
            raise MemoryError("out of memory")
        for index in self.active:
            self._written[index] += 1
            self._model.num_written += 1

    def release(self, index: int) -> None:
        self._model.num_cancelled += index in self.active
        for kept in (self._prompts, self._words, self._written):
            del kept[index]

    def encode_ms(self, index: int) -> float:
        return self._model.encode_s * 1000

    def decode_ms(self, index: int) -> float:
        return self._model.step_s * 1000 * self._written[index]

    def text(self, index: int) -> str:
        return " ".join(self._words[index][: self._written[index]])

    def summary(self, index: int) -> Summary:
        prompt, count = self._prompts[index], len(self._words[index])
        if self._model.unspeakable and prompt.sentence.text.startswith(self._model.unspeakable):
            raise ValueError("no such piece")
        return Summary(
            sentences=(prompt.sentence,),
            coverage=prompt.coverage,
            num_input_tokens=100,
            num_output_tokens=count,
            num_steps=count,
        )


@dataclass
class FakeSummarizer:
    """Counts what is asked of it. `gate` closed (cleared) holds it within a step."""

    step_s: float = 0.0
    encode_s: float = 0.0
    start_error: BaseException | None = None
    step_error: BaseException | None = None
    invents: bool = False
    poison: str | None = None  # a document that begins with it cannot be encoded
    unspeakable: str | None = None  # the summary of one that begins with it cannot be read
    toxic: str | None = None  # a step for one that begins with it, among others or not, fails
    max_rows: int | None = None  # a step for more than so many fails
    version: str = "fake@0123"
    info: RuntimeInfo = RuntimeInfo(name="fake", precision="fp32", device="cpu", num_threads=1)
    num_starts: int = 0  # how often documents were read
    num_steps: int = 0
    num_written: int = 0  # words
    num_cancelled: int = 0
    prepared: list[str] = field(default_factory=list)
    batch_sizes: list[int] = field(default_factory=list)
    step_sizes: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> FakePrompt:
        self.prepared.append("passages" if passages_only else "full")
        span = split_sentences(document.text[:20_000], document.language)[0]
        text = " ".join(span.of(document.text).split()[:max_words])
        source = None if self.invents else Span(span.start, span.end)
        return FakePrompt(sentence=SummarySentence(text=text, source=source))

    def num_unread(self, prompt: FakePrompt) -> int:
        return len(prompt.sentence.text.split())

    def start(self, prompts: Sequence[FakePrompt]) -> FakeGeneration:
        self.read(prompts)
        return FakeGeneration(self, prompts)

    def read(self, prompts: Sequence[FakePrompt]) -> None:
        """What it takes to encode them."""
        self.num_starts += 1
        self.batch_sizes.append(len(prompts))
        time.sleep(self.encode_s)
        if self.start_error is not None:
            raise self.start_error
        if self.poison and any(prompt.sentence.text.startswith(self.poison) for prompt in prompts):
            raise ValueError("cannot encode")

    def forget(self) -> None:
        """Set the counts back, as after warm-up."""
        self.num_starts = self.num_steps = self.num_cancelled = 0
        self.prepared.clear()
        self.batch_sizes.clear()
        self.step_sizes.clear()


@dataclass
class Running:
    """A server and a client of it."""

    application: Application
    model: FakeSummarizer
    channel: grpc.aio.Channel
    stub: Any

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.application.port}"

    async def summarize(self, *, timeout: float = 10, **fields: Any) -> pb.SummarizeResponse:
        return await self.stub.Summarize(ask(**fields), timeout=timeout)


Serve = Callable[..., Awaitable[Running]]


def ask(query: str = "When was the lighthouse built?", text: str = LIGHTHOUSE, **fields: Any) -> pb.SummarizeRequest:
    """A request; `options`, `request_id` and the document's other fields by name."""
    top = {name: fields.pop(name) for name in ("options", "request_id") if name in fields}
    return pb.SummarizeRequest(query=query, document=pb.Document(text=text, **fields), **top)


def test_config(**sections: Any) -> ServerConfig:
    """Ports that are free, no metrics endpoint, no waiting at the drain."""
    base = ServerConfig(
        server=ListenConfig(port=0, drain_delay_s=0.0, drain_grace_s=10.0),
        deadlines=DeadlineConfig(default_ms=10_000, max_ms=60_000),
        metrics=MetricsConfig(enabled=False),
        engine=engine_config(),
    )
    return replace(base, **sections)


def engine_config(**settings: Any) -> EngineConfig:
    """An engine that TIER_AUTO asks: tests are about the model's way unless they say otherwise."""
    return EngineConfig(**{"auto": "generative", **settings})


test_config.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(name="kit")
def _kit() -> SimpleNamespace:
    """What tests build with; importlib mode leaves no other way to share it."""
    return SimpleNamespace(
        ask=ask,
        config=test_config,
        Model=FakeSummarizer,
        Application=Application,
        LIGHTHOUSE=LIGHTHOUSE,
        Deadlines=DeadlineConfig,
        Engine=engine_config,
        Listen=ListenConfig,
        Cache=CacheConfig,
        Metrics=MetricsConfig,
    )


@pytest.fixture(autouse=True)
def _json_logs() -> None:
    logs.configure("debug")


@pytest.fixture(name="serve")
async def _serve() -> AsyncIterator[Serve]:
    running: list[Running] = []

    async def start(model: FakeSummarizer | None = None, **sections: Any) -> Running:
        model = model or FakeSummarizer()
        application = Application(test_config(**sections), load=lambda config: model)
        await application.start()
        model.forget()
        channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{application.port}", options=[("grpc.max_send_message_length", 64 << 20)]
        )
        await channel.channel_ready()
        stub = pb_grpc.SummarizationServiceStub(channel)
        running.append(Running(application=application, model=model, channel=channel, stub=stub))
        return running[-1]

    yield start
    for server in running:
        server.model.gate.set()
        await server.channel.close()
        await server.application.stop()


@pytest.fixture(name="server")
async def _server(serve: Serve) -> Running:
    """A server with a fast fake model."""
    return await serve()


@pytest.fixture(name="in_use")
async def _in_use() -> AsyncIterator[Callable[[Any], None]]:
    """Keeps a server answering others, from the extractive rung, until the test ends.

    Machines that take idle memory away make whoever wakes after seconds slower by a tenth of one: a server that waits
    for a single deadline, and does nothing else, is late there and nowhere else.
    """
    others: list[asyncio.Task[None]] = []

    async def go_on(stub: Any) -> None:
        fast = pb.SummarizeOptions(tier=pb.TIER_FAST, cache_policy=pb.CACHE_POLICY_BYPASS)
        while True:
            await stub.Summarize(ask(options=fast), timeout=10)
            await asyncio.sleep(0.01)

    yield lambda stub: others.append(asyncio.ensure_future(go_on(stub)))
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture(name="health")
def _health() -> Callable[..., Awaitable[str]]:
    async def health(server: Running, service: str = "") -> str:
        stub: Any = health_pb2_grpc.HealthStub(server.channel)
        reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)

    return health


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., Awaitable[None]]:
    async def eventually(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.002)

    return eventually
