"""Engines for fronts: in this event loop with a fake model, whose pace the test decides, or as processes."""

import asyncio
import json
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qdts.errors import Draining
from qdts.models.document import Document, Span, SummarySentence
from qdts.service.config import ServerConfig
from qdts.service.ladder import Generator
from qdts.service.processes.addresses import Addresses
from qdts.service.processes.config import ProcessesConfig
from qdts.service.processes.connect import connect
from qdts.service.processes.engine_host import EngineHost, EnginePlace
from qdts.service.processes.handover import pack_config
from qdts.service.processes.reader import PackedPrompt

READY_S = 60.0
SAMPLES = Path(__file__).parents[3] / "docs" / "samples"


class FakeReader:
    """Prompts of the fake model as JSON."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.version: str = model.version

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> PackedPrompt:
        prompt = self._model.prepare(query, document, max_words=max_words, passages_only=passages_only)
        source = prompt.sentence.source
        place = None if source is None else [source.start, source.end]
        data = json.dumps([prompt.sentence.text, place, prompt.coverage]).encode()
        return PackedPrompt(data=data, key=len(document.text))


class Hosts:
    """Engine hosts and fronts in this event loop."""

    def __init__(self, directory: Path, kit: Any) -> None:
        self.directory = directory
        self._kit = kit
        self.hosts: list[EngineHost] = []
        self.generators: list[Generator] = []

    def config(self, **sections: Any) -> ServerConfig:
        processes = ProcessesConfig(fronts=1, directory=str(self.directory))
        base = self._kit.config(processes=processes, engine=self._kit.Engine(max_batch=4, max_queue=100))
        return replace(base, **sections)

    def unpack(self, data: bytes | memoryview) -> Any:
        text, place, coverage = json.loads(bytes(data))
        source = None if place is None else Span(*place)
        prompt = self._kit.Model().prepare("q", Document(text="Any."), max_words=1)
        return replace(prompt, sentence=SummarySentence(text=text, source=source), coverage=coverage)

    async def engine(
        self, model: Any = None, *, generation: int = 1, index: int = 0, **sections: Any
    ) -> tuple[EngineHost, Any]:
        """A host of this model, ready."""
        model = model or self._kit.Model()
        place = EnginePlace(addresses=Addresses(self.directory), generation=generation, index=index)
        host = EngineHost(self.config(**sections), place, load=lambda config: model, unpack=self.unpack)
        self.hosts.append(host)
        await host.start()
        (self.directory / "generation").write_text(f"{generation}\n")
        model.forget()
        model.num_written = 0
        return host, model

    async def front(
        self, model: Any, on_death: Callable[[], None] = lambda: None, **sections: Any
    ) -> tuple[Any, FakeReader]:
        """A front's engine, connected, and what prepares for it."""
        generator = await connect(self.config(**sections), on_death, load=lambda config: FakeReader(model))
        assert generator is not None
        self.generators.append(generator)
        return generator.engine, FakeReader(model)

    async def close(self) -> None:
        for generator in self.generators:
            await asyncio.to_thread(generator.engine.stop, Draining("bye"), timeout_s=5)
        for host in self.hosts:
            await host.stop()


class Process:
    """An engine process of the model that ships, or of a simulated one."""

    def __init__(self, config: ServerConfig, directory: Path, program: Sequence[str], place: tuple[int, int]) -> None:
        arguments = ["--directory", str(directory), "--generation", str(place[0]), "--index", str(place[1])]
        self.popen = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.popen.stdin is not None and self.popen.stdout is not None
        self.popen.stdin.write(pack_config(config))
        self.popen.stdin.flush()
        self.line: dict[str, Any] = {}

    def wait_until_ready(self) -> dict[str, Any]:
        assert self.popen.stdout is not None
        readable, _, _ = select.select([self.popen.stdout], [], [], READY_S)
        assert readable, "it does not come up"
        self.line = json.loads(self.popen.stdout.readline() or b"{}")
        return self.line

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def end(self, timeout_s: float = 30) -> tuple[int, str]:
        """Its exit status and log, once it has ended."""
        status = self.popen.wait(timeout_s)
        assert self.popen.stderr is not None
        return status, self.popen.stderr.read().decode()

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue


MODULE = ("-m", "qdts.service.processes.engine_process")
# A word a step, so many seconds each; the prompt is JSON.
SLOW = """
import json, sys, time
from qdts.models.document import Span, Summary, SummarySentence
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service.processes import engine_process

STEP_S = 0.02

class Generation:
    def __init__(self): self.open, self.count = {}, 0
    @property
    def active(self): return tuple(i for i, (words, n) in self.open.items() if n < len(words))
    def join(self, prompts):
        indices = [self.count + i for i in range(len(prompts))]
        self.count += len(prompts)
        self.open |= {i: (prompt.split(), 0) for i, prompt in zip(indices, prompts)}
        return indices
    def step(self):
        time.sleep(STEP_S)
        for i in self.active: self.open[i] = (self.open[i][0], self.open[i][1] + 1)
    def release(self, i): del self.open[i]
    def text(self, i): return " ".join(self.open[i][0][: self.open[i][1]])
    def summary(self, i):
        text = " ".join(self.open[i][0])
        return Summary(sentences=(SummarySentence(text=text, source=Span(0, len(text))),), coverage=1.0)
    def encode_ms(self, i): return 0.0
    def decode_ms(self, i): return 0.0

class Model:
    version, info = "slow@1", RuntimeInfo(name="slow", precision="none", device="none", num_threads=1)
    def prepare(self, query, document, *, max_words, passages_only=False): return "One two."
    def num_unread(self, prompt): return 1
    def start(self, prompts):
        generation = Generation()
        generation.join(prompts)
        return generation

sys.exit(engine_process.run(load=lambda config: Model(), unpack=lambda data: json.loads(bytes(data))))
"""


class SlowReader:
    """Prepares the document's text for the process above."""

    version = "slow@1"

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> PackedPrompt:
        return PackedPrompt(data=json.dumps(document.text).encode(), key=0)


@pytest.fixture(name="directory")
def _directory() -> Iterator[Path]:
    # Not tmp_path: that may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="qdts-") as directory:
        yield Path(directory)


@pytest.fixture(name="hosts")
async def _hosts(directory: Path, kit: Any) -> AsyncIterator[Hosts]:
    hosts = Hosts(directory, kit)
    yield hosts
    await hosts.close()


@pytest.fixture(name="processes")
def _processes(directory: Path) -> Iterator[SimpleNamespace]:
    """start(config, generation=1, index=0, program=SLOW or MODULE): a process, not waited for."""
    started: list[Process] = []

    def start(config: ServerConfig, *, generation: int = 1, index: int = 0, program: Any = ("-c", SLOW)) -> Process:
        started.append(Process(config, directory, program, (generation, index)))
        return started[-1]

    yield SimpleNamespace(start=start, MODULE=MODULE, SlowReader=SlowReader)
    for process in started:
        process.close()


@pytest.fixture(name="questions", scope="session")
def _questions() -> list[tuple[str, Document]]:
    """Questions about documents that ship with qdts."""
    rows = [json.loads(line) for line in (SAMPLES / "rows.jsonl").read_text().splitlines()]
    rows += [json.loads(line) for line in (SAMPLES / "finetune_rows.jsonl").read_text().splitlines()[:12]]
    return [(row["query"], Document(text=row["doc"], title=row.get("title", ""))) for row in rows]
