"""cuda and TensorRT on a GPU, in one command of a few minutes: do they write what eager fp32 writes, and how fast?

Each runtime at each precision writes the evaluation rows, one by one and in batches: the rows with the very tokens of
eager fp32 are counted. Then it answers batches of 1, 8, 32 and 64 requests back to back, with its steps recorded as
CUDA graphs and without. joint: documents are read with the query; indexed: their states are there. Before time is taken
the same batches are answered until the time of a cell is over, twice, so that what is compiled and recorded once lies
behind it. steps: milliseconds of a step by rows and tokens of each. A measurement that there was no time for is listed.
Without a GPU nothing is measured, and that is all it says.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from qdts.errors import QdtsError
from qdts.loadtest.bench_agreement import choose_rows, with_fp32_graphs, write_all
from qdts.loadtest.bench_engines import (
    MAX_WORDS,
    KnownDocuments,
    Paces,
    answer,
    batches_of,
    count_same,
    describe_gpu,
    why_not,
)
from qdts.loadtest.gpu_subjects import NAMES, Open, Subject, open_eager, subjects
from qdts.loadtest.report import finish, make_parser
from qdts.models.decoding.costs import StepCosts
from qdts.models.decoding.gate import DraftGate
from qdts.models.decoding.measuring import measure_step_costs
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.systems import document_of
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import Mode, Prompt, PromptBuilder, PromptConfig
from qdts.models.runtimes.base import Runtime
from qdts.models.settings import ModelSettings
from qdts.models.shipped import find_model
from qdts.models.summarizer import Generation, Summarizer, SummarizerConfig
from qdts.models.tokenizer import Tokenizer

BATCH_SIZES = (1, 8, 32, 64)
# Different batches of a cell, answered in turn.
MAX_BATCHES = 12
MODES: tuple[Mode, ...] = ("joint", "indexed")


@dataclass(slots=True)
class Clock:
    """Seconds that may be spent; `left_out` names what was not begun because they were over."""

    limit_s: float
    now: Callable[[], float] = time.monotonic
    left_out: list[str] = field(default_factory=list[str])
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.now()

    @property
    def left_s(self) -> float:
        """At most 0 when time is up."""
        return self.limit_s - (self.now() - self.started)

    def allows(self, what: str) -> bool:
        """Is there time for this? If not, it is noted."""
        if self.left_s <= 0:
            self.left_out.append(what)
        return self.left_s > 0


@dataclass(frozen=True, slots=True)
class Work:
    """What every subject is given: rows, their prompts by mode, and what eager wrote."""

    rows: Sequence[EvalRow]
    builder: PromptBuilder
    settings: ModelSettings
    expected: Sequence[Sequence[int]] = ()

    def prompts(self, mode: Mode) -> list[Prompt]:
        """Of all rows."""
        rows = self.rows
        return [self.builder.build(row.query, document_of(row), max_words=MAX_WORDS, mode=mode) for row in rows]

    def write(self, runtime: Runtime) -> list[list[int]]:
        """The tokens of every row, one by one."""
        summarizer = Summarizer("", self.builder, runtime, SummarizerConfig(), self.settings)
        return write_all(summarizer, self.rows, max_words=MAX_WORDS)

    def write_batches(self, runtime: Runtime, size: int) -> list[list[int]]:
        """The same, so many at once."""
        prompts, found = self.prompts("joint"), list[list[int]]()
        for first in range(0, len(prompts), size):
            group = prompts[first : first + size]
            generation = Generation(runtime, group, SummarizerConfig(), trims=self.settings.copying.trims)
            while generation.active:
                generation.step()
            found += [generation.tokens(index) for index in range(len(group))]
        return found


def measure(subject: Subject, name: str, work: Work, args: argparse.Namespace, clock: Clock) -> dict[str, object]:
    """Agreement, then milliseconds with graphs, if it records any, and without."""
    figures: dict[str, object] = dict(subject.about)
    figures["same_rows"] = count_same(work.write(subject.runtime), work.expected)
    batched = work.write_batches(subject.runtime, min(32, max(args.batch_sizes)))
    figures["same_rows_in_batches"] = count_same(batched, work.expected)
    for label in ("graphs", "plain") if subject.graphs.enabled else ("plain",):
        subject.graphs.enabled = label == "graphs"
        figures[label] = measure_speed(subject.runtime, f"{name} {label}", work, args, clock)
    figures["graphs_recorded"] = subject.graphs.num_captured
    return figures


def measure_speed(runtime: Runtime, name: str, work: Work, args: argparse.Namespace, clock: Clock) -> dict[str, object]:
    """Steps by rows and width, requests a second by mode and batch size."""
    if not clock.allows(f"{name} steps"):
        return {}
    costs = measure_step_costs(runtime, batch_sizes=args.batch_sizes)
    figures: dict[str, object] = {"steps": steps_table(costs)}
    for mode in MODES:
        prompts, paces = work.prompts(mode), Paces()
        answering: Any = runtime
        if mode == "indexed":
            answering = KnownDocuments(runtime, [prompt.encoder_ids for prompt in prompts])
        for size in args.batch_sizes:
            if clock.allows(f"{name} {mode} {size}"):
                paces.ms[size] = pace(answering, prompts, size, DraftGate(costs), args.seconds)
        figures[mode] = paces.figures()
    return figures


def steps_table(costs: StepCosts) -> dict[str, dict[str, float]]:
    """Milliseconds by rows, by tokens of each."""
    table = zip(costs.batch_sizes, costs.ms, strict=True)
    return {
        str(size): {str(width): round(ms, 3) for width, ms in zip(costs.widths, row, strict=True)}
        for size, row in table
    }


def pace(runtime: Runtime, prompts: Sequence[Prompt], size: int, gate: DraftGate, seconds: float) -> list[float]:
    """Milliseconds of batches answered back to back for so long, after as long twice without taking time."""
    num_batches = max(1, min(MAX_BATCHES, len(prompts) // size))
    batches = list(islice(batches_of(prompts, size), num_batches))
    for _ in range(2):
        answer_for(runtime, batches, gate, seconds)
    return answer_for(runtime, batches, gate, seconds, repeats=True)


def answer_for(
    runtime: Runtime, batches: Sequence[Sequence[Prompt]], gate: DraftGate, seconds: float, *, repeats: bool = False
) -> list[float]:
    """Answer batches, once or again and again, until the time is over; at least one."""
    found, until = list[float](), time.perf_counter() + seconds
    while not found or (time.perf_counter() < until and (repeats or len(found) < len(batches))):
        started = time.perf_counter()
        answer(runtime, batches[len(found) % len(batches)], gate)
        found.append(1000 * (time.perf_counter() - started))
    return found


def run(
    rows: Sequence[EvalRow], model: Path, args: argparse.Namespace, oracle: Subject, opens: Mapping[str, Open]
) -> dict[str, object]:
    """The figures of eager and of every subject; what is refused says why."""
    clock = Clock(args.minutes * 60)
    builder = PromptBuilder(
        Tokenizer.load(model / "tokenizer.json"), Lexicon.load(model / "lexicon.safetensors"), PromptConfig()
    )
    settings = ModelSettings.load(model)
    expected = Work(rows, builder, settings).write(oracle.runtime)
    work = Work(rows, builder, settings, expected)
    figures: dict[str, object] = {"rows": len(rows)}
    for name, open_subject in tqdm(opens.items(), desc="runtimes", disable=None):
        if clock.allows(name):
            try:
                figures[name] = measure(open_subject(clock.left_s), name, work, args, clock)
            except QdtsError as error:
                figures[name] = {"refused": str(error)}
    if clock.allows("eager_fp32"):
        figures["eager_fp32"] = measure(oracle, "eager_fp32", work, args, clock)
    return {**figures, "left_out": clock.left_out, "seconds": round(clock.limit_s - clock.left_s)}


def agrees(figures: Mapping[str, Any]) -> bool:
    """Did every subject that computes in fp32 write what eager wrote, on every row?"""
    found = [figures.get(name, {}) for name in NAMES if name.endswith("fp32")]
    return all(each.get("same_rows", figures["rows"]) == figures["rows"] for each in found)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; fails if what computes in fp32 does not write what eager writes on every row."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--model", default="", help="a model directory or the name of a shipped one")
    parser.add_argument("--data", type=Path, help="directory of the public evaluation sets")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument(
        "--library", choices=("", "tensorrt", "tensorrt_rtx"), default="", help="default: what is there"
    )
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=list(BATCH_SIZES), help="two or more")
    parser.add_argument("--seconds", type=float, default=0.6, help="of each cell, and twice that to warm up")
    parser.add_argument("--minutes", type=float, default=7.0, help="nothing is begun after that")
    args = parser.parse_args(argv)
    if reason := why_not():
        print(f"nothing was measured: {reason}")
        return 0
    model = find_model(args.model)
    if model is None:
        parser.error("no model ships and none is named")
    if args.quick:
        args.rows, args.minutes, args.seconds = min(args.rows, 40), 0.7, 0.3
    with with_fp32_graphs(model) as directory:
        found = subjects(directory, args.library, max(args.batch_sizes))
        opens = {name: found[name] for name in args.only}
        figures = run(choose_rows(args.data, args.rows), directory, args, open_eager(directory), opens)
    finish("gpu", args, {"gpu": describe_gpu(), **figures})
    return 0 if agrees(figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
