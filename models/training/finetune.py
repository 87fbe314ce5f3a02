"""A released model and a user's rows -> a model directory that serves: the stages sft, export, quantize, release.

    out/plan.json        what was decided once, so that the same command goes on where it was stopped
    out/heldout.jsonl    rows that were not trained on; out/data the examples that were
    out/sft              checkpoint, loss curve; out/model, in the end, what `qdts serve --model` loads

The held-out rows and the shipped sample are measured before and after: one says whether it helped, the other what it
cost elsewhere.
"""

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from qdts.errors import ConfigError
from qdts.models import manifest
from qdts.models.evaluation.card import card_of, sample_card
from qdts.models.evaluation.config import EvaluationConfig
from qdts.models.evaluation.report import Report
from qdts.models.evaluation.run import run_evaluation
from qdts.models.evaluation.systems import EXTRACTIVE_RUNG
from qdts.models.export.config import CalibrationConfig, ExportConfig, QuantizeConfig, ReleaseConfig
from qdts.models.export.quantize import quantize
from qdts.models.export.release import export_fp32, release
from qdts.models.lexicon import Lexicon
from qdts.models.nets.t5 import T5
from qdts.models.prompt import PromptBuilder, PromptConfig
from qdts.models.tokenizer import Tokenizer
from qdts.models.training.config import FitConfig, FitTaskConfig, LoopConfig, check_at_least, check_positive
from qdts.models.training.dataset import ExampleSet, write_examples
from qdts.models.training.fit import FitTask
from qdts.models.training.run import initial_net, train
from qdts.models.training.user_rows import UserRows, part_rows, read_user_rows, write_rows

_BASELINES = ("bm25_1", EXTRACTIVE_RUNG)
_WARMUP_SHARE = 0.1
_PLAN = "plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig:
    """Rows, the released model to start from, where to write, and how much to train.

    The run takes `num_epochs` readings of the rows or `minutes`, whichever is less. `sample_rows` of each set of the
    shipped sample are measured; 0: none.
    """

    rows: Path
    model: Path
    out: Path
    name: str = "finetuned"
    minutes: float = 10.0
    num_epochs: int = 4
    held_out_percent: int = 10
    learning_rate: float = 3e-4
    tokens_per_batch: int = 2048
    weight_bits: int = 7
    sample_rows: int = 100
    device: str = "cpu"
    num_threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, ("minutes", "learning_rate"))
        check_at_least(self, 1, ("num_epochs", "tokens_per_batch", "num_threads"))
        check_at_least(self, 0, ("sample_rows",))
        if not 1 <= self.held_out_percent <= 50:
            raise ValueError(f"held_out_percent must lie in [1, 50], is {self.held_out_percent}")
        if not self.name.strip() or "/" in self.name:
            raise ValueError(f"name must be a word without '/', is {self.name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneResult:
    """The model directory and what was measured: held-out rows before and after, cards of the sample likewise."""

    model: Path
    rows: UserRows
    num_steps: int
    before: Report
    after: Report
    sample_before: Mapping[str, Any]
    sample_after: Mapping[str, Any]


def check_rows(config: FinetuneConfig) -> UserRows:
    """Read and part the rows; trains nothing, writes nothing."""
    rows = read_user_rows(config.rows)
    return part_rows(rows, load_builder(config.model), held_out_percent=config.held_out_percent)


def finetune(config: FinetuneConfig) -> FinetuneResult | None:
    """All of it; the same call goes on where it was stopped."""
    base = manifest.verify(config.model)
    rows = check_rows(config)
    plan = _plan(config, base.digest, rows)
    if not _train(config, plan["num_steps"]):
        return None
    model = _release(config, base, len(rows.examples))
    before, after = (_evaluate(config, directory) for directory in (config.model, model))
    sample_before, sample_after = (_sample(config, directory) for directory in (config.model, model))
    manifest.write_metrics(model, {**card_of(after.to_json()), **({"sample": sample_after} if sample_after else {})})
    return FinetuneResult(
        model=model,
        rows=rows,
        num_steps=plan["num_steps"],
        before=before,
        after=after,
        sample_before=sample_before,
        sample_after=sample_after,
    )


def load_builder(model: Path) -> PromptBuilder:
    """The prompt builder of a model directory."""
    tokenizer, lexicon = Tokenizer.load(model / "tokenizer.json"), Lexicon.load(model / "lexicon.safetensors")
    return PromptBuilder(tokenizer, lexicon, PromptConfig())


def _plan(config: FinetuneConfig, digest: str, rows: UserRows) -> dict[str, Any]:
    """What an earlier run in `out` decided; else write the data and decide."""
    path = config.out / _PLAN
    made_of = {
        "rows": hashlib.sha256(config.rows.read_bytes()).hexdigest(),
        "model": digest,
        "num_epochs": config.num_epochs,
        "held_out_percent": config.held_out_percent,
        "learning_rate": config.learning_rate,
        "tokens_per_batch": config.tokens_per_batch,
        "seed": config.seed,
    }
    if path.is_file():
        plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if plan["made_of"] != made_of:
            raise ConfigError(f"{config.out} holds another fine-tuning (other rows, model or settings): name another")
        return plan
    if (config.out / "sft").exists() or (config.out / "model").exists():
        raise ConfigError(f"{config.out} holds something else: name another directory")
    write_examples(rows.examples, config.out / "data")
    write_rows(rows.held_out, config.out / "heldout.jsonl")
    plan = {"made_of": made_of, "num_steps": _num_steps(config)}
    path.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    return plan


def _num_steps(config: FinetuneConfig) -> int:
    """As many steps as the epochs have, or as fit in the minutes."""
    task = FitTask(_task(config))
    num_tokens = int(ExampleSet(config.out / "data").encoder_lens.sum())
    wanted = config.num_epochs * math.ceil(num_tokens / config.tokens_per_batch)
    affordable = int(60 * config.minutes / _seconds_per_step(config, task))
    return max(1, min(wanted, affordable))


def _seconds_per_step(config: FinetuneConfig, task: FitTask) -> float:
    """Measured on one batch, after another has warmed the machine."""
    net = _net(config).to(config.device)
    started = time.monotonic()
    for batch in islice(task.batches(), 2):
        started = time.monotonic()
        task.loss(net, batch).loss.backward()  # pyright: ignore[reportUnknownMemberType]
    return max(1e-6, time.monotonic() - started)


def _net(config: FinetuneConfig) -> T5:
    fit = FitConfig(model=config.model, start_from=config.model, task=_task(config), loop=_loop(config, 1))
    return initial_net(fit.model, fit.start_from, fit.shape, fit.dropout)


def _task(config: FinetuneConfig) -> FitTaskConfig:
    return FitTaskConfig(
        data=(config.out / "data",), shares=(1.0,), tokens_per_batch=config.tokens_per_batch, seed=config.seed
    )


def _loop(config: FinetuneConfig, num_steps: int) -> LoopConfig:
    return LoopConfig(
        out=config.out / "sft",
        num_steps=num_steps,
        warmup_steps=max(1, int(_WARMUP_SHARE * num_steps)),
        decay_share=0.5,
        learning_rate=config.learning_rate,
        embedding_rate=config.learning_rate / 5,
        encoder_rate=config.learning_rate / 5,
        device=config.device,
        num_threads=config.num_threads,
        checkpoint_minutes=1.0,
        log_every=max(1, num_steps // 20),
        seed=config.seed,
    )


def _train(config: FinetuneConfig, num_steps: int) -> bool:
    return train(_net(config), FitTask(_task(config)), _loop(config, num_steps), config.model)


def _release(config: FinetuneConfig, base: manifest.Manifest, num_rows: int) -> Path:
    """Graphs, calibrated on the held-out rows, and a manifest that names where the weights come from."""
    trained, model = config.out / "sft" / "model", config.out / "model"
    calibration = CalibrationConfig(rows=config.out / "heldout.jsonl", num_threads=config.num_threads)
    export_fp32(ExportConfig(model=trained))
    quantize(QuantizeConfig(model=trained, weight_bits=config.weight_bits, calibration=calibration))
    origin = f"fine-tuned from {base.name} {base.version} ({base.digest[:12]}, {base.licence})"
    release(
        ReleaseConfig(
            model=trained,
            out=model,
            name=config.name,
            version="1",
            licence=base.licence,
            training_data=(*base.training_data, f"{origin} on {num_rows} rows of {config.rows.name}"),
            sample_rows=0,
        )
    )
    return model


def _evaluate(config: FinetuneConfig, model: Path) -> Report:
    """A model on the held-out rows."""
    return run_evaluation(
        EvaluationConfig(
            data=config.out / "heldout.jsonl",
            systems=_BASELINES,
            model_dir=model,
            num_threads=config.num_threads,
            semantic=False,
            out_dir=config.out / "eval" if model == config.out / "model" else None,
        )
    )


def _sample(config: FinetuneConfig, model: Path) -> Mapping[str, Any]:
    return sample_card(model, ("int8",), config.sample_rows) if config.sample_rows else {}
