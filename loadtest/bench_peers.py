"""The same requests through this project and through other engines: same weights, documents, threads and tokens.

Every system writes the same number of tokens greedily, over the whole vocabulary, from the same encoder ids and the
same decoder prefix, without interaction features, which only this project knows. Scenarios:

joint     query and document are new: encode and write.
indexed   the document's states are known, and only writing is timed. No peer offers to keep states, so its users pay
          for encoding again: indexed_vs_best_peer compares with the best peer's time in joint.
          indexed_vs_best_warm_peer is stricter: peers that take their encoder's output are handed it by us.
batch8    one query and eight documents at once, all new. Peers are asked in every way that their users have (a padded
          batch, read one by one and written together, one after the other, shared out among single threads) and the
          fastest counts; ours reads one by one and writes together. Milliseconds are those of the batch.

fp32 systems must write the oracle's tokens (torch), for the rest the share of equal answers is told. seed_*: the
decoder-only shape of 12 x 768 with random weights, which reads query and document for every request. ours_copy is the
product, with features and copy constraint: it writes summaries, which stop by themselves, so it is in no ratio but
product_*, what a caller gets beside a peer that writes about as much. Drafts of ours_int8 are capped (--draft), those
of ours_int8_short_drafts at two tokens: freely written text repeats itself, and longer drafts could be right more often
than in summaries, whose tokens per step stand beside (bench_decoding).

Each system has a process of its own; document by document they take turns, and ratios are taken document by document.

    pip install -e '.[cpu,train,peers]'                      # and llama-cpp-python gguf, built from source
    python loadtest/bench_peers.py --rows 48                 # the shipped weights
    python loadtest/bench_peers.py --rows 24 --shape base    # random weights of 0.1B: speed only
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from qdts.loadtest.bench_agreement import choose_rows
from qdts.loadtest.peers import figures
from qdts.loadtest.peers.base import BATCH_SIZE, Family, Role, Scenario, System, Weights
from qdts.loadtest.peers.plot import save_plot
from qdts.loadtest.peers.requests import RequestConfig, Round, make_batches, make_rounds, open_builder
from qdts.loadtest.peers.systems import DRAFT_CAP, QUICK, SYSTEMS, split_absent, with_draft_cap
from qdts.loadtest.peers.turns import Row, take_turns
from qdts.loadtest.peers.worker import build, open_workers
from qdts.loadtest.report import RESULTS_DIR, finish, make_parser
from qdts.models.shipped import find_model

QUICK_ROWS, BATCHES = 4, 4
# Of fewer, some may have too few sentences for a batch.
BATCH_ROWS = 2 * BATCH_SIZE
SHIPPED, BASE = "shipped", "base"
BASE_SHAPE = "12+2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of this script."""

    weights: Weights
    systems: tuple[System, ...]
    num_threads: int = 2
    repeats: int = 2


def measure(plan: Plan, rounds: Sequence[Round], work: Path) -> dict[str, Any]:
    """Build, take turns, tell."""
    systems, absent = split_absent(plan.systems)
    absent |= build(systems, work, plan.weights, plan.num_threads)
    buildable = [system for system in systems if system.name not in absent]
    with open_workers(buildable, work, plan.num_threads) as workers:
        running = workers.running
        present = [system for system in buildable if system.name in running]
        rows = take_turns(present, running, tqdm(rounds, desc="rounds", disable=None), plan.repeats)
        for worker in running.values():
            worker.finish()
    return report(rows) | {"absent": absent | workers.lost, "parameters_m": parameters_m(work)} | _sizes(rounds)


def parameters_m(work: Path) -> dict[str, float]:
    """Millions of parameters of each family, by the size of its float32 file: the seed's shape may be the larger."""
    sizes = {
        family.value: sum(path.stat().st_size for path in (work / family.value).glob("*.safetensors"))
        for family in Family
    }
    return {name: round(size / 4e6, 1) for name, size in sizes.items() if size}


def report(rows: dict[str, Row]) -> dict[str, Any]:
    """What was found."""
    return {
        **figures.headline(rows),
        "same_tokens": figures.same_tokens(rows),
        "systems": {name: figures.describe(row, rows) for name, row in rows.items()},
        "ratios": figures.ratio_table(rows),
        **figures.drafting(rows, RESULTS_DIR),
        "packages": figures.package_versions(),
    }


def _sizes(rounds: Sequence[Round]) -> dict[str, int]:
    requests = [one[Scenario.JOINT][0] for one in rounds if Scenario.JOINT in one]
    return {
        "documents": len(requests),
        "batches": len(rounds) - len(requests),
        "document_tokens": int(np.median([len(request.encoder_ids) for request in requests])),
        "prefix_tokens": int(np.median([len(request.prefix) for request in requests])),
        "output_tokens": requests[0].num_tokens,
    }


def choose_systems(args: argparse.Namespace) -> tuple[System, ...]:
    """As asked for: named ones, those of a quick run, or all; random weights have no product."""
    names = args.only or (QUICK if args.quick else [system.name for system in SYSTEMS])
    chosen = tuple(with_draft_cap(system, args.draft) for system in SYSTEMS if system.name in names)
    return tuple(system for system in chosen if args.shape == SHIPPED or system.role is not Role.PRODUCT)


def choose_rounds(args: argparse.Namespace, model: Path) -> list[Round]:
    """Documents one by one, then batches."""
    num_rows = QUICK_ROWS if args.quick else args.rows
    num_batches = args.batches if args.batches is not None else 0 if args.quick else BATCHES
    builder, config = open_builder(model), RequestConfig(num_tokens=args.tokens)
    rounds = list(make_rounds(builder, choose_rows(args.data, num_rows), config))
    rows = choose_rows(args.data, max(num_rows, BATCH_ROWS)) if num_batches else []
    return [*rounds, *make_batches(builder, rows, config, num_batches)]


@contextmanager
def work_directory(kept: Path | None) -> Iterator[Path]:
    """Where graphs and weights lie: a directory that stays, or one that goes."""
    if kept is None:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
    else:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is asked, of whom, how often."""
    parser.add_argument("--model", default="", help="a model directory or the name of a shipped one")
    parser.add_argument("--shape", choices=(SHIPPED, BASE), default=SHIPPED, help="base: random weights, 12+2 of 768")
    parser.add_argument("--data", type=Path, help="directory of the public evaluation sets")
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--batches", type=int, help=f"of {BATCH_SIZE} documents; {BATCHES}, with --quick none")
    parser.add_argument("--draft", type=int, default=DRAFT_CAP, help="the most tokens that ours_int8 drafts in a step")
    parser.add_argument("--tokens", type=int, default=40, help="written by every system")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2, help="of each request in its turn; the fastest counts")
    parser.add_argument("--work", type=Path, help="keep what is converted here: one model, one shape")
    parser.add_argument("--only", nargs="+", choices=[system.name for system in SYSTEMS])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; fails where an fp32 system writes other tokens than the oracle."""
    parser = make_parser(__doc__ or "")
    add_arguments(parser)
    args = parser.parse_args(argv)
    model = find_model(args.model)
    if model is None:
        parser.error("no model ships and none is named")
    systems = choose_systems(args)
    plan = Plan(
        weights=Weights(model=model, shape="" if args.shape == SHIPPED else BASE_SHAPE),
        systems=systems,
        num_threads=args.threads,
        repeats=1 if args.quick else args.repeats,
    )
    rounds = choose_rounds(args, model)
    with work_directory(args.work) as work:
        found = measure(plan, rounds, work)
    asked = {system.name for system in systems}
    found |= {"shape": args.shape, "model": model.name, "threads": args.threads, "draft_cap": args.draft}
    found |= {"left_out": [system.name for system in SYSTEMS if system.name not in asked]}
    name, title = ("peers", model.name) if args.shape == SHIPPED else ("peers_base", "0.1B, random weights")
    finish(name, args, found)
    if not args.quick:
        save_plot(found["systems"], RESULTS_DIR / f"{name}.png", f"{title}: {found['documents']} documents")
    return 0 if found["same_tokens"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
