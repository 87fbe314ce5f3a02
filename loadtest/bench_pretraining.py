"""Which pretraining teaches an encoder to match queries, for the same number of operations?

none · span corruption · feature distillation from all-MiniLM-L6-v2 · half of the budget each, features first. Each from
a folded encoder and from a net of the same shape that has learned nothing, then the same steps of similarity training
on the same examples; judged by how often the sentence closest to the query is one the reference quotes, on examples
that were not trained on. The teacher's own forward pass counts.

--start is a directory of the stage `fold`, --shards one of `shards`, --data a data set of the stage `prepare`.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from qdts.loadtest.report import finish, make_parser
from qdts.models import checkpoint
from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.flops import encoder_flops
from qdts.models.nets.t5 import T5
from qdts.models.training.config import FitTaskConfig, LoopConfig
from qdts.models.training.dataset import ExampleSet, TrainBatch, write_examples
from qdts.models.training.feature_stage import FeatureConfig, FeatureTaskConfig, feature_task, with_readout
from qdts.models.training.loop import METRICS, Trainer
from qdts.models.training.meter import read_rows
from qdts.models.training.minilm import MiniLmEncoder, load_minilm
from qdts.models.training.pretrain import PretrainTaskConfig, pretrain_task
from qdts.models.training.run import write_model
from qdts.models.training.similarity_task import SimilarityTask
from qdts.models.training.task import Task

OBJECTIVES: Mapping[str, tuple[float, float]] = {  # shares of the budget: features, spans
    "none": (0.0, 0.0),
    "spans": (0.0, 1.0),
    "features": (1.0, 0.0),
    "features, then spans": (0.5, 0.5),
}
STARTS = ("folded", "fresh")
_ROWS, _WINDOW, _CONTINUATION = 24, 240, 64
_NUM_JUDGED = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a trial trains with: directories, budget in operations, steps and seed."""

    start: Path
    shards: Path
    train: Path
    judged: Path
    out: Path
    budget: float
    similarity_steps: int
    num_threads: int
    seed: int


def main(argv: Sequence[str] | None = None) -> None:
    """Every trial, then the table."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--start", type=Path, help="a directory of the stage fold")
    parser.add_argument("--shards", type=Path, help="a directory of the stage shards")
    parser.add_argument("--data", type=Path, help="a data set of the stage prepare")
    parser.add_argument("--tera", type=float, default=60.0, help="operations of each pretraining, in 10^12")
    parser.add_argument("--steps", type=int, default=60, help="steps of similarity training after it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=list(OBJECTIVES))
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    if not (args.start and args.shards and args.data):
        print("bench_pretraining needs --start, --shards and --data: nothing is measured without them")
        return
    with tempfile.TemporaryDirectory() as scratch:
        finish("pretraining", args, run(args, Path(scratch)))


def run(args: argparse.Namespace, scratch: Path) -> dict[str, object]:
    """Figures by start, objective and seed."""
    split(args.data, scratch)
    fresh = scratch / "fresh"
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    shape = replace(checkpoint.load_config(args.start), num_features=NUM_FEATURES)
    write_model(T5(shape), fresh, args.start)
    figures: dict[str, object] = {"tera_operations": args.tera, "similarity_steps": args.steps}
    teacher = load_minilm()
    starts = dict(zip(STARTS, (args.start, fresh), strict=True))
    for name in args.starts:
        for objective in args.objectives:
            for seed in args.seeds:
                plan = Plan(
                    start=starts[name],
                    shards=args.shards,
                    train=scratch / "train",
                    judged=scratch / "judged",
                    out=scratch / f"{name}-{objective}-{seed}",
                    budget=args.tera * 1e12,
                    similarity_steps=args.steps,
                    num_threads=args.threads,
                    seed=seed,
                )
                figures[f"{name} | {objective} | seed {seed}"] = trial(plan, objective, teacher)
    return figures


def split(data: Path, scratch: Path, seed: int = 0) -> None:
    """scratch/judged and scratch/train, disjoint: rows of the data set in a random order."""
    rows = ExampleSet(data)
    order = np.random.default_rng(seed).permutation(len(rows))
    write_examples((rows[int(i)] for i in order[:_NUM_JUDGED]), scratch / "judged")
    write_examples((rows[int(i)] for i in order[_NUM_JUDGED : _NUM_JUDGED + 8000]), scratch / "train")


def trial(plan: Plan, objective: str, teacher: MiniLmEncoder) -> dict[str, float]:
    """Pretrain, judge, train similarity, judge."""
    net = _load_start(plan.start)
    features, spans = (share * plan.budget for share in OBJECTIVES[objective])
    spent: list[Mapping[str, float]] = []
    if features:
        spent.append(_pretrain_features(net, plan, features, teacher))
    if spans:
        spent.append(_pretrain_spans(net, plan, spans))
    before = judge(net, plan)
    loop = _loop(plan, "similarity", plan.similarity_steps, encoder_rate=2e-4)
    task = SimilarityTask(FitTaskConfig(data=(plan.train,), shares=(1.0,), indexed_share=0.5, seed=plan.seed))
    Trainer(net.train(), task, loop).run()
    return {
        "minutes": round(sum(one["minutes"] for one in spent), 2),
        "tokens": sum(one["tokens"] for one in spent),
        "before": before,
        "after": judge(net, plan),
    }


def _load_start(start: Path) -> T5:
    """The net of a directory, with every interaction feature: one that `fold` wrote before there were as many as now
    has fewer."""
    loaded = checkpoint.load(start)
    net = T5(replace(loaded.config, num_features=NUM_FEATURES))
    known = {name: tensor for name, tensor in loaded.state_dict().items() if "interaction" not in name}
    net.load_state_dict({**net.state_dict(), **known})
    return net


def _pretrain_features(net: T5, plan: Plan, budget: float, teacher: MiniLmEncoder) -> Mapping[str, float]:
    config = FeatureConfig(
        model=plan.start,
        loop=LoopConfig(out=plan.out / "features"),
        task=FeatureTaskConfig(shards=plan.shards, window_tokens=_WINDOW, rows_per_batch=_ROWS, seed=plan.seed),
    )
    wrapped, task = with_readout(net, plan.start, teacher), feature_task(config, teacher)
    spent = _train(wrapped, task, plan, "features", budget, _teacher_flops(teacher))
    net.requires_grad_(True)
    return spent


def _pretrain_spans(net: T5, plan: Plan, budget: float) -> Mapping[str, float]:
    config = PretrainTaskConfig(
        shards=plan.shards,
        spans=1.0,
        prefix=0.0,
        rows_per_batch=_ROWS,
        encoder_tokens=_WINDOW,
        continuation=_CONTINUATION,
        seed=plan.seed,
    )
    return _train(net, pretrain_task(config, plan.start / "tokenizer.json"), plan, "spans", budget)


def _teacher_flops(teacher: MiniLmEncoder) -> Callable[[Any], float]:
    """Of a batch of windows: one forward pass of a net of the student's sizes."""
    from qdts.models.training.fold_stage import folded_shape

    shape = folded_shape(teacher, 1024, 1)
    return lambda batch: sum(encoder_flops(shape, int(length)) for length in batch.piece_mask.sum(axis=1))


def _train(
    net: torch.nn.Module,
    task: Task,
    plan: Plan,
    name: str,
    budget: float,
    extra: Callable[[Any], float] = lambda _: 0.0,
) -> Mapping[str, float]:
    """As many steps as the budget pays for; the last row of the log."""
    probe: Any = next(iter(task.batches()))
    with torch.no_grad():
        cost = task.loss(net, probe).flops + extra(probe)
    num_steps = max(2, round(budget / cost))
    Trainer(net.train(), task, _loop(plan, name, num_steps)).run()
    return read_rows(plan.out / name / METRICS)[-1]


def _loop(plan: Plan, name: str, num_steps: int, encoder_rate: float | None = None) -> LoopConfig:
    return LoopConfig(
        out=plan.out / name,
        num_steps=num_steps,
        warmup_steps=max(1, num_steps // 10),
        decay_share=0.6,
        optimizer="adamw",
        learning_rate=6e-4,
        embedding_rate=2e-4 if encoder_rate else 6e-4,
        encoder_rate=encoder_rate,
        position_bias_every=8,
        num_threads=plan.num_threads,
        checkpoint_minutes=1e6,
        log_every=1,
        seed=plan.seed,
    )


@torch.no_grad()
def judge(net: T5, plan: Plan) -> float:
    """The share of rows, query left out of the document's encoding, whose closest sentence the target quotes."""
    config = FitTaskConfig(data=(plan.judged,), shares=(1.0,), indexed_share=1.0, shifted_share=0.0)
    task, hits, count = SimilarityTask(config), 0.0, 0
    for batch in tqdm(_once(task, _NUM_JUDGED), desc="judge", leave=False, disable=None):
        accuracy = float(task.loss(net.eval(), batch).report["similarity_accuracy"])
        if accuracy == accuracy:
            hits, count = hits + accuracy * len(batch.ids), count + len(batch.ids)
    return round(hits / count, 4)


def _once(task: SimilarityTask, num_rows: int) -> Iterator[TrainBatch]:
    """The first epoch."""
    seen = 0
    for batch in islice(task.batches(), num_rows):
        seen += len(batch.ids)
        yield batch
        if seen >= num_rows:
            return


if __name__ == "__main__":
    main()
