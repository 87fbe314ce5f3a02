"""The stages of a training run in their order, each a config and a function: `qdts train STAGE --config FILE`.

tokenizer  raw prose                 -> tokenizer.json
lexicon    tokenizer, raw prose      -> lexicon.safetensors, embeddings.safetensors
shards     tokenizer, raw prose      -> token shards
pretrain   shards                    -> a checkpoint, a model directory, a loss curve
prepare    rows or raw prose         -> a data set of examples
fit        data sets                 -> the same
distil     as fit, on a teacher's examples
sft        as fit, on people's
dpo        rows, a model directory   -> the same preferring what the reward prefers, a report
release    a model directory         -> the same with ONNX graphs and a manifest: what `qdts serve` loads
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdts.models.export.release import export
from qdts.models.lexicon import Lexicon
from qdts.models.manifest import Description, write
from qdts.models.prompt import PromptBuilder, PromptConfig
from qdts.models.settings import copy_settings
from qdts.models.tokenizer import Tokenizer
from qdts.models.training.config import FitConfig
from qdts.models.training.corpus import sample_documents
from qdts.models.training.dpo_run import DpoConfig, run_dpo
from qdts.models.training.lexicon import build_lexicon
from qdts.models.training.prepare import PrepareConfig, prepare
from qdts.models.training.pretrain import PretrainConfig, run_pretrain
from qdts.models.training.run import run_fit
from qdts.models.training.shards import ShardsConfig, run_shards
from qdts.models.training.tokenizer import train_tokenizer

# What of a trained model directory is released, beside the graphs.
_RELEASED = ("config.json", "model.safetensors", "tokenizer.json", "lexicon.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerConfig:
    """Reads a `share` of the corpus files' documents; writes `out`/tokenizer.json."""

    corpus: tuple[Path, ...]
    out: Path
    share: float = 0.05
    vocab_size: int = 16384
    seed: int = 0

    def __post_init__(self) -> None:
        if not 512 <= self.vocab_size <= 65536:
            raise ValueError(f"vocab_size must lie in [512, 65536], is {self.vocab_size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LexiconConfig:
    """Adds the lexicon to `model`, which holds tokenizer.json. `embedding_dim` is the net's d_model."""

    corpus: tuple[Path, ...]
    model: Path
    share: float = 0.015
    embedding_dim: int = 256
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseConfig:
    """Copies `model` to `out` with ONNX graphs and a manifest; `out` keeps what prose (.md) it has."""

    model: Path
    out: Path
    name: str
    version: str
    licence: str = "Apache-2.0"
    precisions: tuple[str, ...] = ("int8",)
    training_data: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """How a stage is configured and run."""

    config: type
    run: Callable[[Any], object]


def run_tokenizer(config: TokenizerConfig) -> None:
    """Train the tokenizer."""
    documents = sample_documents(config.corpus, config.share, config.seed)
    train_tokenizer(documents, vocab_size=config.vocab_size, path=config.out / "tokenizer.json")


def run_lexicon(config: LexiconConfig) -> None:
    """Build the lexicon."""
    tokenizer = Tokenizer.load(config.model / "tokenizer.json")
    documents = sample_documents(config.corpus, config.share, config.seed)
    build_lexicon(tokenizer, documents, embedding_dim=config.embedding_dim, directory=config.model)


def run_prepare(config: PrepareConfig) -> None:
    """Write a data set."""
    tokenizer = Tokenizer.load(config.model / "tokenizer.json")
    lexicon = Lexicon.load(config.model / "lexicon.safetensors")
    prepare(config, PromptBuilder(tokenizer, lexicon, PromptConfig()))


def run_release(config: ReleaseConfig) -> None:
    """Export the graphs and write the manifest."""
    config.out.mkdir(parents=True, exist_ok=True)
    for name in _RELEASED:
        shutil.copyfile(config.model / name, config.out / name)
    copy_settings(config.model, config.out)
    export(config.out, config.out, config.precisions)
    description = Description(
        name=config.name, version=config.version, licence=config.licence, training_data=config.training_data
    )
    write(config.out, description)


STAGES: dict[str, Stage] = {
    "tokenizer": Stage(TokenizerConfig, run_tokenizer),
    "lexicon": Stage(LexiconConfig, run_lexicon),
    "shards": Stage(ShardsConfig, run_shards),
    "pretrain": Stage(PretrainConfig, run_pretrain),
    "prepare": Stage(PrepareConfig, run_prepare),
    "fit": Stage(FitConfig, run_fit),
    "distil": Stage(FitConfig, run_fit),
    "sft": Stage(FitConfig, run_fit),
    "dpo": Stage(DpoConfig, run_dpo),
    "release": Stage(ReleaseConfig, run_release),
}
