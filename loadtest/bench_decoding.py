"""What drafts save: steps, tokens per step and milliseconds of the decode phase, by drafter and batch size.

none: token by token, plain greedy · pieces: the copy constraint's own drafts · gated: the same, let through by the
measured costs of a step, as served · copy: a suffix automaton over the prompt · trie: what earlier replies said ·
jacobi: the net's own n-grams · combined: copy, trie and jacobi in one tree. All under the copy constraint, on the same
encoded prompts, batch by batch in turn, so that what else runs on the machine hits all alike. Lossless means: the same
tokens as plain greedy on every row.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from qdts.loadtest.bench_agreement import choose_rows, with_fp32_graphs
from qdts.loadtest.report import finish, make_parser
from qdts.models.copy_source import copy_state, piece_drafter
from qdts.models.decoding.copying import CopyState
from qdts.models.decoding.costs import measure_step_costs
from qdts.models.decoding.drafting.base import Drafter, NoDrafter
from qdts.models.decoding.drafting.combined import CombinedDrafter
from qdts.models.decoding.drafting.copying import CopyDrafter
from qdts.models.decoding.drafting.jacobi import JacobiDrafter
from qdts.models.decoding.drafting.trie import OutputTrie, TrieDrafter
from qdts.models.decoding.gate import DraftGate
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.systems import document_of
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import Prompt, PromptBuilder, PromptConfig
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Floats, Runtime, States
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.shipped import find_model
from qdts.models.summarizer import SummarizerConfig, read_prompts
from qdts.models.tokenizer import Tokenizer

PLAIN, GATED = "none", "gated"
BATCH_SIZES = (1, 8, 32)
RUNTIMES = {"onnx_int8": ("onnx", "int8"), "onnx_fp32": ("onnx", "fp32"), "eager_fp32": ("eager", "fp32")}
MAX_WORDS = 50

Make = Callable[[Prompt, CopyState], Drafter]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt, read."""

    prompt: Prompt
    states: States
    features: Floats


@dataclass(slots=True)
class Tally:
    """What one drafter did over all rows: tokens and summaries, steps per sequence, milliseconds."""

    outputs: list[list[int]] = field(default_factory=list[list[int]])
    num_steps: int = 0
    ms: list[float] = field(default_factory=list[float])

    @property
    def tokens_per_step(self) -> float:
        """Of one sequence, the chosen token included."""
        return sum(map(len, self.outputs)) / self.num_steps


def drafters() -> dict[str, Make]:
    """By name; those of one name share a trie."""
    trie = OutputTrie()

    def copying(prompt: Prompt) -> Drafter:
        return CopyDrafter([prompt.prefix.tolist(), prompt.encoder_ids.tolist()], min_match=1, per_match=64)

    def jacobi(prompt: Prompt) -> Drafter:
        return JacobiDrafter(prompt.encoder_ids.tolist(), window=5, ngram=4, candidates=5)

    return {
        PLAIN: lambda prompt, state: NoDrafter(),
        "pieces": piece_drafter,
        GATED: piece_drafter,
        "copy": lambda prompt, state: copying(prompt),
        "trie": lambda prompt, state: TrieDrafter(trie),
        "jacobi": lambda prompt, state: jacobi(prompt),
        "combined": lambda prompt, state: CombinedDrafter([copying(prompt), TrieDrafter(trie), jacobi(prompt)]),
    }


def read_all(runtime: Runtime, builder: PromptBuilder, rows: Sequence[EvalRow]) -> Iterator[Encoded]:
    """Every row, one by one."""
    for row in rows:
        prompt = builder.build(row.query, document_of(row), max_words=MAX_WORDS)
        states, features = read_prompts(runtime, [prompt])
        yield Encoded(prompt, states[0], features[0])


def decode(runtime: Runtime, group: Sequence[Encoded], make: Make, gate: DraftGate | None, tally: Tally) -> None:
    """Write the summaries of one batch; the time is that of the steps alone."""
    config = SummarizerConfig()
    batch = runtime.start([one.states for one in group], [one.features for one in group])
    rows: list[Row] = []
    for one in group:
        state = copy_state(one.prompt, trims=False)
        rows.append(Row(one.prompt.prefix.tolist(), state, make(one.prompt, state)))
    decoder = GreedyDecoder(
        runtime, batch, rows, max_tokens=config.max_output_tokens, max_draft=config.max_draft, gate=gate
    )
    started = time.perf_counter()
    while decoder.active:
        tally.num_steps += len(decoder.active)
        decoder.step()
    tally.ms.append(1000 * (time.perf_counter() - started) / len(group))
    tally.outputs += [row.tokens for row in rows]


def compare(
    runtime: Runtime, encoded: Sequence[Encoded], batch_size: int, names: Sequence[str], gate: DraftGate
) -> dict[str, Tally]:
    """Every drafter over all rows, in turn for each batch."""
    makes = drafters()
    tallies = {name: Tally() for name in names}
    groups = [encoded[first : first + batch_size] for first in range(0, len(encoded), batch_size)]
    for number, group in enumerate(tqdm(groups, desc=f"{runtime.info.name}, batches of {batch_size}", leave=False)):
        # In another order each time: the first of a batch meets cold caches.
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            decode(runtime, group, makes[name], gate if name == GATED else None, tallies[name])
    return tallies


def figures_of(tallies: Mapping[str, Tally]) -> dict[str, dict[str, float | int]]:
    """By drafter; speed against plain decoding is the median of the batches' ratios."""
    plain = tallies[PLAIN]
    return {
        name: {
            "same_rows": sum(ours == theirs for ours, theirs in zip(tally.outputs, plain.outputs, strict=True)),
            "tokens_per_step": round(tally.tokens_per_step, 2),
            "ms_per_request": round(float(np.median(tally.ms)), 3),
            "speedup": round(float(np.median([p / own for p, own in zip(plain.ms, tally.ms, strict=True)])), 2),
        }
        for name, tally in tallies.items()
    }


def measure(model: Path, rows: Sequence[EvalRow], args: argparse.Namespace) -> dict[str, object]:
    """Everything; the headline figures are of int8 at batch size 1, gated as served."""
    builder = PromptBuilder(
        Tokenizer.load(model / "tokenizer.json"), Lexicon.load(model / "lexicon.safetensors"), PromptConfig()
    )
    by_runtime: dict[str, dict[str, dict[str, dict[str, float | int]]]] = {}
    for label in args.runtimes:
        name, precision = RUNTIMES[label]
        runtime = load_runtime(name, model, RuntimeConfig(precision=precision, num_threads=args.threads))
        gate = DraftGate(measure_step_costs(runtime, batch_sizes=BATCH_SIZES))
        encoded = list(tqdm(read_all(runtime, builder, rows), total=len(rows), desc=f"{label}: reading", leave=False))
        sizes = BATCH_SIZES if label == args.runtimes[0] else BATCH_SIZES[:1]
        by_runtime[label] = {
            str(size): figures_of(compare(runtime, encoded, size, list(drafters()), gate)) for size in sizes
        }
    first = by_runtime[args.runtimes[0]]
    return {
        "rows": len(rows),
        "lossless": all(
            figures["same_rows"] == len(rows)
            for sizes in by_runtime.values()
            for by_drafter in sizes.values()
            for figures in by_drafter.values()
        ),
        "tokens_per_step": first["1"][GATED]["tokens_per_step"],
        "decode_speedup": first["1"][GATED]["speedup"],
        "worst_batch_ratio": round(1 / min(by_drafter[GATED]["speedup"] for by_drafter in first.values()), 3),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "runtimes": by_runtime,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; fails where a drafter changes a token."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--model", default="", help="a model directory or the name of a shipped one")
    parser.add_argument("--data", type=Path, help="directory of the public evaluation sets")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=list(RUNTIMES))
    args = parser.parse_args(argv)
    model = find_model(args.model)
    if model is None:
        parser.error("no model ships and none is named")
    if args.quick:
        args.runtimes = args.runtimes[:1]
    rows = choose_rows(args.data, 32 if args.quick else args.rows)
    with with_fp32_graphs(model) as directory:
        figures = measure(directory, rows, args)
    finish("decoding", args, figures)
    return 0 if figures["lossless"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
