"""What drafts save: steps, tokens per step, milliseconds and requests a second, by runtime, drafter and batch size.

Each runtime runs in a process of its own, whose peak memory is told. At one batch size, `--check`, every drafter writes
all rows and must write plain greedy's tokens: lossless. At the other sizes `--timing-rows` of them are written. Plain
and gated decoding run in pairs; the median ratio says whether drafts ever make a batch slower. Results are kept as they
come and merged into results/decoding.json, so a long measurement can be split:

    bench_decoding.py --data DIR --rows 1000 --timing-rows 1000 --runtimes onnx_int8 onnx_fp32
    bench_decoding.py --data DIR --rows 1000 --runtimes eager_fp32 --batches 1 8
    bench_decoding.py --data DIR --rows 1000 --resume

The drafters: loadtest/decoding/drafters.py.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import cast, get_args

from qdts.loadtest.bench_agreement import choose_rows, with_fp32_graphs
from qdts.loadtest.decoding.figures import Figures
from qdts.loadtest.decoding.plot import save_plot
from qdts.loadtest.decoding.results import HEADLINE, add_batch, load_runtimes, missing, summarize
from qdts.loadtest.decoding.worker import CannotRun, Plan, measure
from qdts.loadtest.report import RESULTS_DIR, finish, make_parser, now, record
from qdts.models.evaluation.environment import describe_environment
from qdts.models.evaluation.rows import EvalRow
from qdts.models.manifest import verify
from qdts.models.runtimes.config import Precision, RuntimeConfig
from qdts.models.shipped import find_model

NAME = "decoding"
RUNTIMES = (HEADLINE, "onnx_fp32", "eager_fp32")
BATCHES = (1, 8, 32, 64)
QUICK_ROWS = 64

Keep = Callable[[Figures], object]


def make_plan(
    label: str, model: Path, rows: Sequence[EvalRow], batches: Sequence[int], args: argparse.Namespace
) -> Plan:
    """Of a runtime by its label, <name>_<precision>."""
    name, _, precision = label.rpartition("_")
    return Plan(
        runtime=name,
        config=RuntimeConfig(precision=cast(Precision, precision), num_threads=args.threads),
        model=model,
        rows=rows,
        batches=batches,
        check_batch=args.check,
        timing_rows=args.timing_rows,
        min_pairs=3 if args.quick else 24,
        pairs_only=args.quick,
    )


def run(model: Path, rows: Sequence[EvalRow], args: argparse.Namespace, keep: Keep = lambda figures: None) -> Figures:
    """Measure what is asked for and merge it into what `args.results` knows of this model; `keep` gets all as it
    grows."""
    manifest = verify(model)
    identity = f"{manifest.name}@{manifest.digest[:12]}"
    facts = {"rows": len(rows), "threads": args.threads, "commit": describe_environment()["commit"]}
    runtimes = {} if args.quick else load_runtimes(args.results / f"{NAME}.json", identity)
    needs_graphs = any(label.endswith("_fp32") for label in args.runtimes)
    with with_fp32_graphs(model) if needs_graphs else nullcontext(model) as directory:
        for label in args.runtimes:
            asked: list[int] = args.batches
            sizes = missing(runtimes, label, asked, facts, check=args.check) if args.resume else asked
            try:
                for size, figures in measure(make_plan(label, directory, rows, sizes, args)) if sizes else ():
                    stamp = {"threads": args.threads, "commit": facts["commit"], "at": now()}
                    add_batch(runtimes, label, size, {**figures, **stamp})
                    keep(summarize(identity, runtimes))
            except CannotRun as error:
                print(f"{label}: {error}", file=sys.stderr)
                runtimes.setdefault(label, {"unavailable": str(error)})
    return summarize(identity, runtimes)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; fails where a drafter changes a token."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--model", default="", help="a model directory or the name of a shipped one")
    parser.add_argument("--data", type=Path, help="directory of the public evaluation sets")
    parser.add_argument("--rows", type=int, default=200, help="on which every drafter is checked")
    parser.add_argument("--timing-rows", type=int, default=256, help="of these, at the other batch sizes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES), metavar="NAME_PRECISION")
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES), metavar="SIZE")
    parser.add_argument("--check", type=int, default=8, metavar="SIZE", help="the batch size of all rows")
    parser.add_argument("--resume", action="store_true", help="keep what was measured at this commit")
    parser.add_argument("--results", type=Path, default=RESULTS_DIR, metavar="DIR")
    args = parser.parse_args(argv)
    model = find_model(args.model)
    if model is None:
        parser.error("no model ships and none is named")
    for label in args.runtimes:
        if (precision := label.rpartition("_")[2]) not in get_args(Precision):
            parser.error(f"--runtimes {label}: {precision} is no precision; known: {', '.join(get_args(Precision))}")
    if args.quick:
        args.runtimes, args.rows = args.runtimes[:1], QUICK_ROWS
    rows = choose_rows(args.data, args.rows)
    figures = run(model, rows, args, keep=lambda found: record(NAME, args, found, args.results))
    finish(NAME, args, figures, args.results)
    if not args.quick and figures["rows"]:
        save_plot(figures["runtimes"], args.results / f"{NAME}.png", f"{figures['model']}, threads: {args.threads}")
    return 0 if figures["lossless"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
