"""What it costs a call that its engine is another process: the same engine and real prompts, here and there by turns.

The model writes nothing and takes no time, so what is measured is the way: here a queue between two threads; there the
prompt packed, a Unix socket, the prompt unpacked, the same queue, and the summary back.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from qdts.errors import Draining, Unavailable
from qdts.loadtest.report import RESULTS_DIR, finish, make_parser
from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.models.prompt import Prompt
from qdts.models.prompt_codec import pack_prompt, unpack_prompt
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service.config import EngineConfig, ServerConfig, load_config
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.generative import Summarizer
from qdts.service.processes import engine_process
from qdts.service.processes.connect import connect
from qdts.service.processes.handover import pack_config
from qdts.service.processes.reader import Reader, load_reader
from qdts.service.request import Priority

# Code points of the documents: a paragraph, an article, what is read of a book.
SIZES = (1_500, 15_000, 400_000)
TEXT = "The harbour railway opened in {}. It carried coal, fish and people for years. Its last train went in autumn. "
AT_ONCE = 16
CALL_S = 30.0
SUMMARY = Summary(sentences=(SummarySentence(text="The harbour railway opened.", source=Span(0, 27)),), coverage=1.0)


class Idle:
    """A model that has written its summary after one step, whatever it was asked."""

    info = RuntimeInfo(name="idle", precision="none", device="none", num_threads=1)

    def __init__(self, reader: Reader) -> None:
        self.version = reader.version
        self._reader = reader

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> Prompt:
        """As the model that ships."""
        packed = self._reader.prepare(query, document, max_words=max_words, passages_only=passages_only)
        return unpack_prompt(packed.data)

    def num_unread(self, prompt: Prompt) -> int:
        """All of it."""
        return len(prompt.encoder_ids)

    def start(self, prompts: Sequence[Prompt]) -> "_Writing":
        """Nothing is read."""
        writing = _Writing()
        writing.join(prompts)
        return writing


class _Writing:
    def __init__(self) -> None:
        self._unfinished: set[int] = set()
        self._count = 0

    @property
    def active(self) -> tuple[int, ...]:
        return tuple(self._unfinished)

    def join(self, prompts: Sequence[Prompt]) -> range:
        indices = range(self._count, self._count + len(prompts))
        self._count += len(prompts)
        self._unfinished |= {*indices}
        return indices

    def step(self) -> None:
        self._unfinished.clear()

    def release(self, index: int) -> None:
        self._unfinished.discard(index)

    def text(self, index: int) -> str:
        return SUMMARY.text

    def summary(self, index: int) -> Summary:
        return SUMMARY

    def encode_ms(self, index: int) -> float:
        return 0.0

    def decode_ms(self, index: int) -> float:
        return 0.0


def idle(config: EngineConfig) -> Summarizer:
    """What an engine process loads here."""
    reader = load_reader(config)
    assert reader is not None, "a model ships"
    return Idle(reader)


class EngineThere:
    """An engine process, from entry to exit."""

    def __init__(self, config: ServerConfig) -> None:
        place = ["--directory", config.processes.directory, "--generation", "1", "--index", "0"]
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--engine", *place], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._config = config

    def __enter__(self) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(pack_config(self._config))
        stdin.flush()
        said = json.loads(stdout.readline() or b"{}")
        if not said.get("ready"):
            self.__exit__()
            raise Unavailable(f"the engine process does not start: {said.get('reason')}")
        (Path(self._config.processes.directory) / "generation").write_text("1")

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes its standard input: it ends
            pass


async def measure(num_calls: int, directory: str) -> dict[str, object]:
    """Figures by size of the document, in microseconds."""
    settings = {
        "processes.fronts": 1,
        "processes.directory": directory,
        "engine.max_batch": AT_ONCE,
        "engine.max_queue": 4 * AT_ONCE,
        "metrics.enabled": False,
        "logging.level": "error",
    }
    config = load_config(None, {}, settings)
    model = idle(config.engine)
    here = Engine(model, max_batch=AT_ONCE, max_queue=4 * AT_ONCE, max_encode_tokens=1 << 20)
    here.start(lambda: None)
    with EngineThere(config):
        generator = await connect(config, lambda: None)
        assert generator is not None
        try:
            figures: dict[str, object] = {"load_read_us": _each(lambda: there_wait(generator.engine), num_calls)}
            for size in SIZES:
                figures[f"{size}_chars"] = await _measure_size(size, model, here, generator, num_calls)
        finally:
            for engine in (here, generator.engine):
                await asyncio.to_thread(engine.stop, Draining("done"), timeout_s=5)
    return figures


def there_wait(engine: Any) -> None:
    """What admission asks of an engine for each request."""
    engine.wait_s(Priority.INTERACTIVE)
    _ = engine.num_inside, engine.next_batch


async def _measure_size(size: int, model: Summarizer, here: Engine, there: Any, num_calls: int) -> dict[str, object]:
    text = "".join(TEXT.format(1800 + number % 100) for number in range(1 + size // len(TEXT)))[:size]
    document = Document(text=text)
    prompt = model.prepare("When did the railway open?", document, max_words=35)
    packed = there.summarizer.prepare("When did the railway open?", document, max_words=35)
    ways = {
        "here": lambda: here.generate(prompt, deadline=Deadline.after(CALL_S)),
        "there": lambda: there.engine.generate(packed, deadline=Deadline.after(CALL_S)),
    }
    alone: dict[str, list[float]] = {way: [] for way in ways}
    together: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(num_calls):
        for way, call in ways.items():
            alone[way].append(await _timed(call, 1))
    for _ in range(max(10, num_calls // AT_ONCE)):
        for way, call in ways.items():
            together[way].append(await _timed(call, AT_ONCE) / AT_ONCE)
    return {
        "prompt_bytes": len(packed.data),
        "pack_us": _each(lambda: pack_prompt(prompt), num_calls),
        "unpack_us": _each(lambda: unpack_prompt(packed.data), num_calls),
        "alone_us": {way: _spread(times) for way, times in alone.items()},
        "added_us": {name: _spread(alone["there"])[name] - _spread(alone["here"])[name] for name in ("median", "p99")},
        f"of_{AT_ONCE}_at_once_us": {way: _spread(times) for way, times in together.items()},
    }


async def _timed(call: Callable[[], Awaitable[object]], count: int) -> float:
    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(count)))
    return time.perf_counter() - started


def _each(work: Callable[[], object], count: int) -> float:
    times: list[float] = []
    for _ in range(count):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return _spread(times)["median"]


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"median": round(1e6 * cuts[49], 1), "p99": round(1e6 * cuts[98], 1)}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--calls", type=int, default=3_000, help="by size and way")
    parser.add_argument("--results", type=Path, default=RESULTS_DIR, metavar="DIR")
    args: argparse.Namespace = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="qdts-") as directory:
        figures = asyncio.run(measure(200 if args.quick else args.calls, directory))
    finish("hop", args, figures, args.results)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--engine"]:
        raise SystemExit(engine_process.run(sys.argv[2:], load=idle))
    raise SystemExit(main())
