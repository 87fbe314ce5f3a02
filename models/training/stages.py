"""The stages of a training run in their order, each a config and a function: `qdts train STAGE --config FILE`.

tokenizer  raw prose                 -> tokenizer.json
lexicon    tokenizer, raw prose      -> lexicon.safetensors, embeddings.safetensors
shards     tokenizer, raw prose      -> token shards
fold       all-MiniLM-L6-v2          -> a model directory whose encoder starts as that one
features   shards                    -> the same, its encoder's states nearer to that one's
pretrain   shards                    -> a checkpoint, a model directory, a loss curve
teach      rows                      -> the same with a teacher's summaries
prepare    rows or raw prose         -> a data set of examples
similarity data sets                 -> the same, its encoder bringing queries and answers together
fit        data sets                 -> the same
distil     as fit, on a teacher's examples
sft        as fit, on people's
dpo        rows, a model directory   -> the same preferring what the reward prefers, a report
average    model directories         -> one with the mean of their weights
export     a model directory         -> onnx/fp32 in it
quantize   fp32 graphs, real prompts -> onnx/int8 in it, quantize.json
explicit   fp32 graphs, real prompts -> onnx/int8_qdq and onnx/fp8_qdq in it, for engines built elsewhere
engines    ONNX graphs               -> engines/<library>-<capability>-<precision> in the model, for TensorRT
release    a model directory         -> the same with its graphs and a manifest: what `qdts serve` loads
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdts.models.export.config import EnginesConfig, ExplicitConfig, ExportConfig, QuantizeConfig, ReleaseConfig
from qdts.models.export.engines import build_engines
from qdts.models.export.explicit import write_explicit
from qdts.models.export.quantize import quantize
from qdts.models.export.release import export_fp32, release
from qdts.models.export.sqnr import to_text
from qdts.models.tokenizer import Tokenizer
from qdts.models.training.average import AverageConfig, run_average
from qdts.models.training.config import FitConfig
from qdts.models.training.data.config import PrepareConfig
from qdts.models.training.data.corpus import sample_documents
from qdts.models.training.data.prepare import prepare
from qdts.models.training.dpo_run import DpoConfig, run_dpo
from qdts.models.training.feature_stage import FeatureConfig, run_features
from qdts.models.training.fold_stage import FoldConfig, run_fold
from qdts.models.training.lexicon import build_lexicon
from qdts.models.training.pretrain import PretrainConfig, run_pretrain
from qdts.models.training.run import run_fit, run_similarity
from qdts.models.training.shards import ShardsConfig, run_shards
from qdts.models.training.teach import TeachConfig, run_teach
from qdts.models.training.tokenizer import train_tokenizer


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
    """Write a data set and say what it holds."""
    tally = prepare(config)
    print(f"{config.out}: {tally.written.total()} examples of {tally.num_read.total()} rows and pages read")
    for reason, count in tally.report()["dropped"].items():
        print(f"{count:9d}  {reason}")


def run_quantize(config: QuantizeConfig) -> None:
    """Write int8 graphs and print how well each layer came through."""
    print(to_text(quantize(config).layers))


def run_engines(config: EnginesConfig) -> None:
    """Build the engines and say where they lie."""
    for directory in build_engines(config):
        megabytes = sum(path.stat().st_size for path in directory.glob("*.plan")) / 1e6
        print(f"{directory}: {megabytes:.1f} MB")


def run_release(config: ReleaseConfig) -> None:
    """Copy, measure the sample, write the manifest."""
    release(config)


STAGES: dict[str, Stage] = {
    "tokenizer": Stage(TokenizerConfig, run_tokenizer),
    "lexicon": Stage(LexiconConfig, run_lexicon),
    "shards": Stage(ShardsConfig, run_shards),
    "fold": Stage(FoldConfig, run_fold),
    "features": Stage(FeatureConfig, run_features),
    "pretrain": Stage(PretrainConfig, run_pretrain),
    "teach": Stage(TeachConfig, run_teach),
    "prepare": Stage(PrepareConfig, run_prepare),
    "similarity": Stage(FitConfig, run_similarity),
    "fit": Stage(FitConfig, run_fit),
    "distil": Stage(FitConfig, run_fit),
    "sft": Stage(FitConfig, run_fit),
    "dpo": Stage(DpoConfig, run_dpo),
    "average": Stage(AverageConfig, run_average),
    "export": Stage(ExportConfig, export_fp32),
    "quantize": Stage(QuantizeConfig, run_quantize),
    "explicit": Stage(ExplicitConfig, write_explicit),
    "engines": Stage(EnginesConfig, run_engines),
    "release": Stage(ReleaseConfig, run_release),
}
