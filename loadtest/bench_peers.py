"""The same requests through this project and through other engines: same weights, documents, threads and work.

Two kinds of text are written (--text). The figures without a prefix are of summaries, `free_*` of the other.

summary   the product's work, by everyone: the encoder reads the document (in joint with the query at its head) and the
          query alone, for the interaction features, whose projection is added to the document's states; then the
          summary is written under the copy constraint, token by token, by the product's rule of choice, to its end.
          Peers do it with graphs of their own in a loop. Only transformers can draft here (_lookup), and it knows only
          the decoder's ids, where the document is not. CTranslate2 has no hook for features or
          constraint, the decoder-only shape random weights: they write as many tokens freely. ours_int8 is what is
          served, with the constraint's drafts; ours_int8_undrafted the same token by token.
free      so many tokens, each the best of the whole vocabulary, without features. These weights then mostly repeat one
          marker, so drafts, which are capped here (--draft), tell little of real text.

Scenarios:

joint     query and document are new: all of it is timed.
indexed   the document's states are known, ours in 8 bits as the service keeps them, and only what follows is timed. No
          peer offers to keep states, so its users pay for encoding again: indexed_vs_best_peer compares with the best
          peer's time in joint. indexed_vs_best_warm_peer is stricter: peers that take their encoder's output are handed
          it by us.
batch8    one query and eight documents at once, all new. Peers are asked in every way that their users have (a padded
          batch, read one by one and written together, one after the other, shared out among single threads) and the
          fastest counts; ours reads one by one and writes together. Milliseconds are those of the batch.

fp32 systems must write the oracle's tokens (torch), for the rest the share of equal answers is told. seed_*: the
decoder-only shape of 12 x 768, which reads query and document for every request. A quick run asks the seed's engine
that was the fastest in the last full run, if its results are there and it needs no calibration (seed_engine_by), and of
the peers the fastest.

Each system has a process of its own; document by document they take turns, and ratios are taken document by document.

    pip install -e '.[cpu,train,peers]'                      # and llama-cpp-python gguf, built from source
    python loadtest/bench_peers.py --rows 48                 # the shipped weights
    python loadtest/bench_peers.py --rows 24 --shape base    # random weights of 0.1B: speed only
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from qdts.loadtest.bench_agreement import choose_rows
from qdts.loadtest.peers import figures
from qdts.loadtest.peers.base import BATCH_SIZE, Family, Role, Scenario, System, Text, Weights
from qdts.loadtest.peers.plot import save_plot
from qdts.loadtest.peers.requests import RequestConfig, Round, make_batches, make_rounds, open_builder
from qdts.loadtest.peers.systems import (
    DRAFT_CAP,
    ORACLE,
    SYSTEMS,
    fastest_seed,
    quick_systems,
    split_absent,
    with_draft_cap,
)
from qdts.loadtest.peers.turns import Row, take_turns, with_lengths
from qdts.loadtest.peers.worker import Worker, build, open_workers
from qdts.loadtest.report import RESULTS_DIR, finish, make_parser
from qdts.models.prompt import PromptBuilder
from qdts.models.settings import ModelSettings
from qdts.models.shipped import find_model

# Caches are cold the first time: the fastest repeat counts.
QUICK_ROWS, QUICK_REPEATS, BATCHES = 4, 2, 4
# Of fewer, some may have too few sentences for a batch.
BATCH_ROWS = 2 * BATCH_SIZE
SHIPPED, BASE = "shipped", "base"
BASE_SHAPE = "12+2"
BOTH = "both"
# Of a figure's name, by what was written
PREFIXES = {Text.SUMMARY: "", Text.FREE: "free_"}
# Of the file with the results, by shape
NAMES = {SHIPPED: "peers", BASE: "peers_base"}
RoundsOf = Mapping[Text, Sequence[Round]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of this script."""

    weights: Weights
    systems: tuple[System, ...]
    num_threads: int = 2
    repeats: int = 3


def measure(plan: Plan, rounds: RoundsOf, work: Path) -> dict[str, Any]:
    """Build, take turns with each kind of text, tell."""
    systems, absent = split_absent(plan.systems)
    absent |= build(systems, work, plan.weights, plan.num_threads)
    buildable = [system for system in systems if system.name not in absent]
    with open_workers(buildable, work, plan.num_threads) as workers:
        present = [system for system in buildable if system.name in workers.running]
        found = {"absent": absent | workers.lost, "parameters_m": parameters_m(work)}
        for text, asked in rounds.items():
            found |= _measure_text(text, asked, present, workers.running, plan.repeats)
        for worker in workers.running.values():
            worker.finish()
    return found | {"packages": figures.package_versions()}


def _measure_text(
    text: Text, rounds: Sequence[Round], systems: Sequence[System], running: Mapping[str, Worker], repeats: int
) -> dict[str, Any]:
    if text is Text.SUMMARY and ORACLE in running:
        rounds = with_lengths(rounds, running[ORACLE])
    rows = take_turns(systems, running, tqdm(rounds, desc=text.value, disable=None), repeats, text)
    return {f"{PREFIXES[text]}{name}": value for name, value in (report(rows) | _sizes(rounds)).items()}


def parameters_m(work: Path) -> dict[str, float]:
    """Millions of parameters of each family, by the size of its float32 file: the seed's shape may be the larger."""
    sizes = {
        family.value: sum(path.stat().st_size for path in (work / family.value).glob("*.safetensors"))
        for family in Family
    }
    return {name: round(size / 4e6, 1) for name, size in sizes.items() if size}


def report(rows: dict[str, Row]) -> dict[str, Any]:
    """What was found, of one kind of text."""
    ours = [name for name, row in rows.items() if row.system.role is Role.OURS]
    return {
        **figures.headline(rows),
        "same_tokens": figures.same_tokens(rows),
        "tokens_per_step": {name: figures.tokens_per_step(rows[name].answers[Scenario.JOINT]) for name in ours},
        "systems": {name: figures.describe(row, rows) for name, row in rows.items()},
        "ratios": figures.ratio_table(rows),
    }


def _sizes(rounds: Sequence[Round]) -> dict[str, Any]:
    requests = [one[Scenario.JOINT][0] for one in rounds if Scenario.JOINT in one]
    return {
        "documents": len(requests),
        "batches": len(rounds) - len(requests),
        "document_tokens": int(np.median([len(request.encoder_ids) for request in requests])),
        "prefix_tokens": int(np.median([len(request.prefix) for request in requests])),
        "output_tokens": figures.quartiles([request.num_tokens for request in requests], 1),
    }


def choose_systems(args: argparse.Namespace, results: Path = RESULTS_DIR) -> tuple[System, ...]:
    """As asked for: named ones, those of a quick run, or all."""
    everybody = [system.name for system in SYSTEMS]
    names = args.only or (quick_systems(results / f"{NAMES[args.shape]}.json") if args.quick else everybody)
    return tuple(with_draft_cap(system, args.draft) for system in SYSTEMS if system.name in names)


def choose_rounds(args: argparse.Namespace, model: Path) -> RoundsOf:
    """By kind of text: documents one by one, then batches."""
    named = args.text or (Text.SUMMARY.value if args.quick else BOTH)
    trims = ModelSettings.load(model).copying.trims
    builder = open_builder(model)
    return {
        text: _rounds(args, builder, RequestConfig(num_tokens=args.tokens, text=text, trims=trims))
        for text in Text
        if named in (text.value, BOTH)
    }


def _rounds(args: argparse.Namespace, builder: PromptBuilder, config: RequestConfig) -> list[Round]:
    num_rows = QUICK_ROWS if args.quick else args.rows
    num_batches = args.batches if args.batches is not None else 0 if args.quick else BATCHES
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
    parser.add_argument("--text", choices=(*(text.value for text in Text), BOTH), help="both; with --quick summary")
    parser.add_argument("--tokens", type=int, default=40, help="written freely by every system")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="of each request in its turn; the fastest counts")
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
        repeats=QUICK_REPEATS if args.quick else args.repeats,
    )
    rounds = choose_rounds(args, model)
    with work_directory(args.work) as work:
        found = measure(plan, rounds, work)
    asked = {system.name for system in systems}
    found |= {"shape": args.shape, "model": model.name, "threads": args.threads, "draft_cap": args.draft}
    found |= {"seed_engine_by": _seed_choice(args)} if args.quick else {}
    found |= {"left_out": [system.name for system in SYSTEMS if system.name not in asked]}
    name = NAMES[args.shape]
    finish(name, args, found)
    if not args.quick:
        _draw(found, name, model.name if args.shape == SHIPPED else "0.1B, random weights")
    return 0 if all(found[f"{prefix}same_tokens"] for prefix in PREFIXES.values() if f"{prefix}systems" in found) else 1


def _seed_choice(args: argparse.Namespace) -> str:
    """Why a quick run asks that engine of the seed's."""
    results = RESULTS_DIR / f"{NAMES[args.shape]}.json"
    return (
        f"the fastest in {results.name}"
        if fastest_seed(results)
        else "default: no results of a full run, or the fastest needs calibration"
    )


def _draw(found: Mapping[str, Any], name: str, title: str) -> None:
    """A picture for each kind of text."""
    for text, prefix in PREFIXES.items():
        if (systems := found.get(f"{prefix}systems")) is not None:
            label = f"{title}, {text.value}: {found[f'{prefix}documents']} documents"
            save_plot(systems, RESULTS_DIR / f"{prefix}{name}.png", label)


if __name__ == "__main__":
    raise SystemExit(main())
