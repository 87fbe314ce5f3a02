"""Pretraining: what a net learns of raw prose before it sees a query. Objectives by share, over one set of shards.

An objective over windows is a class beside `spans.py` and `prefix.py`; any other task (`task.py`) can be a part of the
mixture. Either is a share in the config and two lines in `pretrain_task`.
"""

from dataclasses import dataclass
from pathlib import Path

from qdts.models.training.config import RunConfig, check_at_least
from qdts.models.training.mixture import Mixture, Part
from qdts.models.training.prefix import PrefixLM
from qdts.models.training.run import run_task
from qdts.models.training.sequence import Objective, SequenceTask
from qdts.models.training.shards import TokenShards
from qdts.models.training.spans import SpanCorruption

_MIN_ENCODER_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainTaskConfig:
    """What is read, and the shares of steps each objective has (relative to one another; 0 leaves one out)."""

    # A directory of the stage `shards`.
    shards: Path
    spans: float = 0.5
    prefix: float = 0.5
    rows_per_batch: int = 32
    # Of each row, for every objective: rows are packed, none has padding.
    encoder_tokens: int = 512
    # Spans: the share of tokens that is left out, and how many of them in a row.
    noise_density: float = 0.15
    mean_span: float = 3.0
    # Prefix: tokens the decoder goes on for.
    continuation: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self, 0, ("spans", "prefix"))
        check_at_least(self, 1, ("rows_per_batch", "mean_span", "continuation"))
        check_at_least(self, _MIN_ENCODER_TOKENS, ("encoder_tokens",))
        if self.spans + self.prefix <= 0:
            raise ValueError("spans and prefix must not both be 0")
        if self.spans:
            self.span_corruption()

    def span_corruption(self) -> SpanCorruption:
        """ValueError where the markers do not suffice for the spans of so many tokens."""
        return SpanCorruption(self.encoder_tokens, self.noise_density, self.mean_span)


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig(RunConfig):
    """The stage `pretrain`."""

    task: PretrainTaskConfig


def run_pretrain(config: PretrainConfig) -> None:
    """Pretrain, and write a model directory to start other stages from."""
    run_task(config, pretrain_task(config.task, config.model / "tokenizer.json"))


def pretrain_task(config: PretrainTaskConfig, tokenizer: Path) -> Mixture:
    """The objectives whose share is not 0; ConfigError where the shards are of another tokenizer."""
    shards = TokenShards(config.shards, tokenizer)
    objectives: list[tuple[Objective, float]] = []
    if config.spans:
        objectives.append((config.span_corruption(), config.spans))
    if config.prefix:
        objectives.append((PrefixLM(config.encoder_tokens, config.continuation), config.prefix))
    return Mixture([_part(shards, objective, share, config) for objective, share in objectives])


def _part(shards: TokenShards, objective: Objective, share: float, config: PretrainTaskConfig) -> Part:
    task = SequenceTask(shards, objective, rows_per_batch=config.rows_per_batch, seed=config.seed)
    return Part(name=objective.name, task=task, share=share)
