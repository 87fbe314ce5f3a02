"""A process for each runtime: its peak memory is then its own, and so are its threads."""

import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from qdts.errors import QdtsError
from qdts.loadtest.decoding.documents import Documents
from qdts.loadtest.decoding.drafters import GATED, PLAIN, drafters
from qdts.loadtest.decoding.figures import Figures, figures_of
from qdts.loadtest.decoding.passes import compare
from qdts.loadtest.peers.worker import peak_memory_mb, thread_limit
from qdts.models.evaluation.rows import EvalRow
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import PromptBuilder, PromptConfig
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.summarizer import open_gate
from qdts.models.tokenizer import Tokenizer

# A forked process would share memory with its parent.
_context = multiprocessing.get_context("spawn")
_Message = tuple[int, Figures] | str | None


class CannotRun(RuntimeError):
    """The runtime is not to be had here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured of one runtime: every drafter on all rows at `check_batch`, on `timing_rows` of them at the
    other batch sizes, there only plain and gated if `pairs_only`; at least `min_pairs` pairs of these two at each."""

    runtime: str
    config: RuntimeConfig
    model: Path
    rows: Sequence[EvalRow]
    batches: Sequence[int]
    check_batch: int
    timing_rows: int
    min_pairs: int
    pairs_only: bool = False


def measure(plan: Plan) -> Iterator[tuple[int, Figures]]:
    """Batch size and figures as they come, in a process of its own. CannotRun where it ends before it is done."""
    ours, theirs = _context.Pipe(duplex=False)
    with thread_limit(plan.config.num_threads or 1):
        process = _context.Process(target=_serve, args=(theirs, plan), daemon=True)
        process.start()
    theirs.close()
    try:
        while (message := _receive(ours)) is not None:
            if isinstance(message, str):
                raise CannotRun(message)
            yield message
        process.join()
    finally:
        process.kill()
        process.join()


def _receive(connection: Connection) -> _Message:
    try:
        return connection.recv()
    except EOFError:
        raise CannotRun("its process ended early; its own words are on standard error") from None


def _serve(connection: Connection, plan: Plan) -> None:
    try:
        runtime = load_runtime(plan.runtime, plan.model, plan.config)
    except (QdtsError, ImportError) as error:
        connection.send(f"{type(error).__name__}: {error}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        for one in measure_here(runtime, plan, Path(scratch)):
            connection.send(one)
    connection.send(None)


def measure_here(runtime: Runtime, plan: Plan, scratch: Path) -> Iterator[tuple[int, Figures]]:
    """In this process. Small batches first: the peak memory told with a batch size is the largest up to it."""
    builder = PromptBuilder(
        Tokenizer.load(plan.model / "tokenizer.json"), Lexicon.load(plan.model / "lexicon.safetensors"), PromptConfig()
    )
    documents = Documents.read(runtime, builder, plan.rows, scratch)
    for size in sorted(plan.batches):
        is_check = size == plan.check_batch
        groups = documents.groups(len(plan.rows) if is_check else plan.timing_rows, size)
        names = (PLAIN, GATED) if plan.pairs_only and not is_check else tuple(drafters())
        gate = open_gate(runtime, size)
        found = compare(runtime, documents, groups, gate, names=names, min_pairs=plan.min_pairs)
        facts = {"read_ms": round(documents.read_ms, 3), "peak_memory_mb": round(peak_memory_mb())}
        yield size, {**figures_of(found, documents.read_ms), **facts}
