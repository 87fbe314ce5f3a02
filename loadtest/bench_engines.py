"""TensorRT on a GPU: does it write what eager fp32 writes, and how many requests a second within 55 ms?

Builds engines from a copy of the model for the GPU that is here (with tensorrt_rtx, where it does not list that one:
for 8.0, to be tried on it), compares tokens with eager on the evaluation rows, then answers them in batches back to
back. joint: documents are read with the query; known: their states are there, as for a document seen before. A request
that just misses a batch waits for it and then for its own, so the latency of two batches in a row is counted, at p99.
Without a GPU nothing is measured, and that is all it says.
"""

import argparse
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from qdts.errors import QdtsError
from qdts.loadtest.bench_agreement import choose_rows, with_fp32_graphs, write_all
from qdts.loadtest.report import finish, make_parser
from qdts.models.decoding.gate import DraftGate
from qdts.models.decoding.measuring import measure_step_costs
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.systems import document_of
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import Mode, Prompt, PromptBuilder, PromptConfig
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Ids, Runtime, States
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.settings import ModelSettings
from qdts.models.shipped import find_model
from qdts.models.summarizer import Generation, Summarizer, SummarizerConfig
from qdts.models.tokenizer import Tokenizer

SLO_MS = 55.0
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
MAX_WORDS = 50
# What tensorrt_rtx builds for where it does not list the GPU that is here.
FALLBACK = "8.0"


class KnownDocuments:
    """A runtime that has read some documents before; everything else it passes on."""

    def __init__(self, runtime: Runtime, documents: Sequence[Ids]) -> None:
        self._runtime = runtime
        self._known = {ids.tobytes(): states for ids, states in zip(documents, runtime.encode(documents), strict=True)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def encode(self, documents: Sequence[Ids]) -> list[States]:
        """Only what is new is computed."""
        new = [ids for ids in documents if ids.tobytes() not in self._known]
        made = iter(self._runtime.encode(new) if new else [])
        return [self._known.get(ids.tobytes()) or next(made) for ids in documents]


@dataclass(slots=True)
class Paces:
    """Milliseconds of every batch, by batch size."""

    ms: dict[int, list[float]] = field(default_factory=dict[int, list[float]])

    def figures(self) -> dict[str, object]:
        """Requests a second, a batch's median and latency by size; the most a second within the SLO, or 0."""
        by_size = {size: (1000 * size / float(np.mean(ms)), _pair_p99(ms)) for size, ms in self.ms.items()}
        within = [rate for rate, p99 in by_size.values() if p99 <= SLO_MS]
        return {
            "requests_per_s_within_slo": round(max(within, default=0.0), 1),
            "by_batch": {
                str(size): {
                    "requests_per_s": round(rate, 1),
                    "ms": round(float(np.median(self.ms[size])), 2),
                    "p99_ms": round(p99, 2),
                }
                for size, (rate, p99) in by_size.items()
            },
        }


def _pair_p99(ms: Sequence[float]) -> float:
    """Of a batch that was just missed and the one after it."""
    pairs = np.convolve(ms, [1, 1], "valid") if len(ms) > 1 else 2 * np.asarray(ms)
    return float(np.percentile(pairs, 99))


def pace(runtime: Runtime, prompts: Sequence[Prompt], sizes: Sequence[int], num_batches: int) -> Paces:
    """Answer batches of each size back to back; shapes are met once before time is taken."""
    paces, gate = Paces(), DraftGate(measure_step_costs(runtime))
    for size in sizes:
        batches = batches_of(prompts, size)
        for _ in range(2):
            answer(runtime, next(batches), gate)
        found: list[float] = []
        for _ in tqdm(range(num_batches), desc=f"batches of {size}", leave=False, disable=None):
            started = time.perf_counter()
            answer(runtime, next(batches), gate)
            found.append(1000 * (time.perf_counter() - started))
        paces.ms[size] = found
    return paces


def batches_of(prompts: Sequence[Prompt], size: int) -> Iterator[list[Prompt]]:
    """Endlessly, the prompts in their order."""
    first = 0
    while True:
        yield [prompts[(first + index) % len(prompts)] for index in range(size)]
        first += size


def answer(runtime: Runtime, prompts: Sequence[Prompt], gate: DraftGate) -> None:
    """Write the summaries of one batch."""
    generation = Generation(runtime, prompts, SummarizerConfig(), gate=gate)
    while generation.active:
        generation.step()


def measure_runtime(
    runtime: Runtime, builder: PromptBuilder, rows: Sequence[EvalRow], args: argparse.Namespace
) -> dict[str, object]:
    """Requests a second with documents to be read, and with documents known."""

    def prompts(mode: Mode) -> list[Prompt]:
        return [builder.build(row.query, document_of(row), max_words=MAX_WORDS, mode=mode) for row in rows]

    joint, indexed = prompts("joint"), prompts("indexed")
    known: Any = KnownDocuments(runtime, [prompt.encoder_ids for prompt in indexed])
    return {
        "joint": pace(runtime, joint, args.batch_sizes, args.batches).figures(),
        "known": pace(known, indexed, args.batch_sizes, args.batches).figures(),
    }


def build(model: Path, precision: str, library_name: Any, max_batch: int = max(BATCH_SIZES)) -> dict[str, str]:
    """Build a precision's engines in `model`; with what, and for which compute capability."""
    from qdts.models.export.builder import PlanBuilder
    from qdts.models.export.config import EnginesConfig, EngineShapes, ExplicitConfig
    from qdts.models.export.engines import build_engines, current_capability
    from qdts.models.export.explicit import write_explicit
    from qdts.models.runtimes.tensorrt.library import LIBRARIES, load_library

    library = load_library((library_name,) if library_name else LIBRARIES)
    here = current_capability()
    assert here is not None, "there is a GPU, or nothing is measured"
    target = choose_capability(here, PlanBuilder(library).listed_capabilities() if library.is_rtx else [here])
    if precision in ("int8", "fp8"):
        write_explicit(ExplicitConfig(model=model, formats=(f"{precision}_qdq",)))
    config = EnginesConfig(
        model=model,
        library=library_name,
        capabilities=(target,),
        try_on=(here,),
        precisions=(precision,),
        shapes=EngineShapes(max_batch=max_batch),
    )
    build_engines(config)
    return {"library": f"{library.name} {library.version}", "built_for": target}


def choose_capability(here: str, listed: Sequence[str]) -> str:
    """What to build for: this GPU where the library lists it, else what may run on it."""
    return here if here in listed else FALLBACK


def run(model: Path, rows: Sequence[EvalRow], args: argparse.Namespace) -> dict[str, object]:
    """The figures of eager and of every precision; what is refused says why."""
    figures: dict[str, object] = {"gpu": describe_gpu(), "rows": len(rows), "slo_ms": SLO_MS}
    with with_fp32_graphs(model) as directory:
        builder = PromptBuilder(
            Tokenizer.load(directory / "tokenizer.json"),
            Lexicon.load(directory / "lexicon.safetensors"),
            PromptConfig(),
        )

        def write(runtime: Runtime) -> list[list[int]]:
            settings = ModelSettings.load(directory)
            summarizer = Summarizer("", builder, runtime, SummarizerConfig(), settings)
            return write_all(summarizer, rows, max_words=MAX_WORDS)

        eager = load_runtime("eager", directory, RuntimeConfig(precision="fp32", device="cuda"))
        expected = write(eager)
        figures["eager_fp32"] = measure_runtime(eager, builder, rows, args)
        for precision in args.precisions:
            try:
                about = build(directory, precision, args.library)
                runtime = load_runtime("tensorrt", directory, RuntimeConfig(precision=precision, device="cuda"))
                same = count_same(write(runtime), expected)
                measured = measure_runtime(runtime, builder, rows, args)
                figures[f"tensorrt_{precision}"] = {**about, "same_rows": same, **measured}
            except QdtsError as error:
                figures[f"tensorrt_{precision}"] = {"refused": str(error)}
    return figures


def count_same(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> int:
    """Rows on which both write the same tokens."""
    return sum(list(mine) == list(other) for mine, other in zip(ours, theirs, strict=True))


def describe_gpu() -> Mapping[str, str]:
    """Name, compute capability, driver."""
    import torch

    major, minor = torch.cuda.get_device_capability()
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split()[0]
    except (OSError, IndexError, subprocess.SubprocessError):
        driver = ""
    return {"name": torch.cuda.get_device_name(), "compute_capability": f"{major}.{minor}", "driver": driver}


def why_not() -> str:
    """What is missing for a measurement; "" where nothing is."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return "torch is not installed"
    import torch

    return "" if torch.cuda.is_available() else "this machine has no GPU that torch sees"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; fails if fp32 was asked for and does not write what eager writes on every row."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--model", default="", help="a model directory or the name of a shipped one")
    parser.add_argument("--data", type=Path, help="directory of the public evaluation sets")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "fp16", "bf16"])
    parser.add_argument(
        "--library", choices=("", "tensorrt", "tensorrt_rtx"), default="", help="default: what is there"
    )
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=list(BATCH_SIZES))
    parser.add_argument("--batches", type=int, default=200, help="of each size")
    args = parser.parse_args(argv)
    if reason := why_not():
        print(f"nothing was measured: {reason}")
        return 0
    model = find_model(args.model)
    if model is None:
        parser.error("no model ships and none is named")
    if args.quick:
        args.rows, args.batches, args.precisions = min(args.rows, 40), 20, args.precisions[:2]
    rows = choose_rows(args.data, args.rows)
    figures = run(model, rows, args)
    finish("engines", args, figures)
    fp32: Any = figures.get("tensorrt_fp32")
    return 0 if fp32 is None or fp32.get("same_rows") == len(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
