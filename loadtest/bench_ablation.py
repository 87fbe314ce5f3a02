"""Which shape, objective and aids: small nets trained alike on people's questions, judged on held-out rows.

Every variant takes the same steps over as many tokens, once per seed; a trial that has a result is not run again, one
that was cut short goes on from its checkpoint. Table, picture and figures are written after every trial:

    python loadtest/bench_ablation.py --data data/qdts --corpus data/corpus/*.zst --out runs/ablation

--report trains nothing and writes what there is. Variants: loadtest/ablation/variants.py.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qdts.loadtest.ablation import shapes, table
from qdts.loadtest.ablation.data import AblationData, DataConfig, hint_shares
from qdts.loadtest.ablation.nets import Scale
from qdts.loadtest.ablation.trial import TrialConfig, load_result, run_trial
from qdts.loadtest.ablation.variants import BASE, Variant, choose_variants
from qdts.loadtest.report import RESULTS_DIR, finish, make_parser
from qdts.models.evaluation.samples import load_row_file
from qdts.models.shipped import find_model
from qdts.models.training.config import LoopConfig
from qdts.models.training.data.config import PrepareConfig, Source, VariantConfig
from qdts.models.training.data.corpus import SEPARATOR

SHIPPED_VOCABULARY = 16384
# Training rows: which share of each set. Short documents, so that many fit into few tokens.
ROWS = {
    "squad_slice": 0.5,
    "squad_dev": 0.5,
    "squad_train_nqg": 0.3,
    "qamr_wiki_dev_test": 0.2,
    "selqa_dev_test": 0.6,
    "nq_oracle_litm": 0.6,
    "doc2dial_val": 0.5,
}
QUICK_VARIANTS = (BASE, "no_hints", "decoder_only_aided")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All trials of one run of this script."""

    out: Path
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    scale: Scale
    data: DataConfig
    num_steps: int
    tokens_per_batch: int
    max_minutes: float

    def trials(self) -> Iterator[TrialConfig]:
        """Seed after seed, so that a run cut short has whole rounds."""
        base = choose_variants([BASE])[0]
        for seed in self.seeds:
            for variant in self.variants:
                loop = self._loop(variant, seed)
                yield TrialConfig(
                    variant=variant, base=base, scale=self.scale, loop=loop, tokens_per_batch=self.tokens_per_batch
                )

    def _loop(self, variant: Variant, seed: int) -> LoopConfig:
        return LoopConfig(
            out=self.out / "trials" / f"{variant.name}-{seed}",
            num_steps=self.num_steps,
            warmup_steps=self.num_steps // 10,
            decay_share=0.5,
            precision="fp32",
            num_threads=1,
            prefetch=0,
            checkpoint_minutes=2.0,
            max_minutes=self.max_minutes,
            log_every=max(1, self.num_steps // 20),
            seed=seed,
        )


def run_plan(plan: Plan, *, train: bool = True) -> list[dict[str, Any]]:
    """The results of all trials that have one in the end; the table is written anew after each."""
    data = AblationData(plan.data)
    results: list[dict[str, Any]] = []
    for trial in plan.trials():
        result = run_trial(trial, data) if train else load_result(trial)
        if result is not None:
            results.append(result)
            write_tables(results, plan.out)
    return results


def write_tables(results: Sequence[dict[str, Any]], directory: Path) -> None:
    """ablation.md and ablation.png."""
    lines = table.table_lines(results)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ablation.md").write_text(table.to_markdown(lines), encoding="utf-8")
    table.save_plot(lines, directory / "ablation.png")


def figures(plan: Plan, results: Sequence[dict[str, Any]]) -> dict[str, object]:
    """What goes into results/ablation.json."""
    return {
        "settings": {
            "steps": plan.num_steps,
            "tokens_per_batch": plan.tokens_per_batch,
            "scale": asdict(plan.scale),
            "seeds": list(plan.seeds),
            "rows_per_set": plan.data.rows_per_set,
            "max_input_tokens": plan.data.max_input_tokens,
            "training_rows": ROWS,
        },
        "trials": len(results),
        "table": [asdict(line) for line in table.table_lines(results)],
        "hints": hint_shares(AblationData(plan.data), choose_variants([BASE])[0]),
        "full_size": [asdict(cost) for cost in shapes.full_size_costs()],
    }


def full_plan(args: argparse.Namespace) -> Plan:
    """From the flags."""
    out: Path = args.out
    rows = PrepareConfig(
        model=out,
        out=out,
        sources=tuple(Source(paths=(args.data / f"{name}.jsonl.zst",), share=share) for name, share in ROWS.items()),
        variants=VariantConfig(negative_share=0.0, joined_share=0.0),
        evaluation=args.data,
    )
    data = DataConfig(
        out=out / "data",
        rows=rows,
        vocabularies=_shipped_vocabulary(),
        corpus=tuple(args.corpus),
        evaluation=args.data,
        rows_per_set=args.rows,
    )
    return Plan(
        out=out,
        variants=tuple(choose_variants(args.variants)),
        seeds=tuple(args.seeds),
        scale=Scale(),
        data=data,
        num_steps=args.steps,
        tokens_per_batch=args.tokens_per_batch,
        max_minutes=args.minutes,
    )


def quick_plan(out: Path) -> Plan:
    """Toy nets on made-up questions about the sample that ships, judged on the same sample: figures mean nothing."""
    out.mkdir(parents=True, exist_ok=True)
    prose = out / "prose.txt"
    documents = [f"{row.title}\n{row.document}" for row in load_row_file()]
    prose.write_text(f"\n{SEPARATOR}\n".join(documents), encoding="utf-8")
    # The sample is all evaluation rows: what the rule holds out is some of it.
    source = Source(paths=(prose,), licence="see models/evaluation/samples", hold_out=False)
    rows = PrepareConfig(model=out, out=out, sources=(source,), max_examples=60)
    return Plan(
        out=out,
        variants=tuple(choose_variants(QUICK_VARIANTS)),
        seeds=(0,),
        scale=Scale(d_model=32, d_ff=64, num_heads=2),
        data=DataConfig(out=out / "data", rows=rows, vocabularies=_shipped_vocabulary(), rows_per_set=2),
        num_steps=3,
        tokens_per_batch=512,
        max_minutes=1.0,
    )


def _shipped_vocabulary() -> tuple[tuple[int, Path], ...]:
    model = find_model("")
    return () if model is None else ((SHIPPED_VOCABULARY, model),)


def main(argv: Sequence[str] | None = None) -> int:
    """Train, judge, report; fails while trials are unfinished."""
    parser = make_parser(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, help="directory of the public sets, training and evaluation rows")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="raw prose, for vocabularies not shipped")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="examples, checkpoints, results")
    parser.add_argument("--variants", nargs="*", default=[], help="names from variants.py; all if none is given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--tokens-per-batch", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=40, help="held-out rows per set")
    parser.add_argument("--minutes", type=float, default=15.0, help="a trial stops with a checkpoint after so long")
    parser.add_argument("--report", action="store_true", help="train nothing: table and figures of what there is")
    args: argparse.Namespace = parser.parse_args(argv)
    if not args.quick and args.data is None:
        parser.error("--data is needed but with --quick")
    with tempfile.TemporaryDirectory() as scratch:
        plan = quick_plan(Path(scratch)) if args.quick else full_plan(args)
        results = run_plan(plan, train=not args.report)
    finish("ablation", args, figures(plan, results))
    if results and not args.quick:
        write_tables(results, RESULTS_DIR)
    return 0 if len(results) == len(plan.variants) * len(plan.seeds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
