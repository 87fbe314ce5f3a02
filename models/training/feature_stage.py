"""The stage `features`: feature distillation of an encoder over shards of raw prose."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from qdts.models.nets.t5 import T5
from qdts.models.tokenizer import Tokenizer
from qdts.models.training.config import RunConfig, check_at_least
from qdts.models.training.features import FeatureNet, FeatureTask
from qdts.models.training.fold_stage import READOUT
from qdts.models.training.minilm import MiniLmEncoder, load_minilm
from qdts.models.training.run import initial_net, run_loop, write_model
from qdts.models.training.shards import TokenShards
from qdts.models.training.windows import WindowStream


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTaskConfig:
    """Windows of `window_tokens` of the shards; the teacher reads at most 512 word pieces of one."""

    # A directory of the stage `shards`.
    shards: Path
    window_tokens: int = 240
    rows_per_batch: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self, 8, ("window_tokens",))
        check_at_least(self, 2, ("rows_per_batch",))  # passages are compared with one another


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureConfig(RunConfig):
    """The stage `features`. Where `start_from` holds readout.safetensors, that is where the readout starts."""

    task: FeatureTaskConfig


def run_features(config: FeatureConfig) -> None:
    """Train the encoder; write loop.out/model with the readout beside it."""
    teacher = load_minilm()
    teacher.bert.to(config.loop.device)
    net = feature_net(config, teacher)
    if run_loop(net, feature_task(config, teacher), config.loop):
        directory = config.loop.out / "model"
        write_model(net.net, directory, config.model)
        save_file({"readout": net.readout.weight.detach().cpu().contiguous()}, directory / READOUT)


def feature_net(config: FeatureConfig, teacher: MiniLmEncoder) -> FeatureNet:
    """The net to train, its decoder left out of the training."""
    net = initial_net(config.model, config.start_from, config.shape, config.dropout)
    return with_readout(net, config.start_from, teacher)


def with_readout(net: T5, start: Path | None, teacher: MiniLmEncoder) -> FeatureNet:
    """The net, its decoder frozen, with the map to the teacher's states that `start` may hold."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith(("encoder.", "shared.")))
    path = start / READOUT if start else None
    readout = load_file(path)["readout"] if path and path.is_file() else None
    return FeatureNet(net, teacher.bert.config.hidden_size, readout)


def feature_task(config: FeatureConfig, teacher: MiniLmEncoder) -> FeatureTask:
    """The task over the config's shards; ConfigError where they are of another tokenizer."""
    path = config.model / "tokenizer.json"
    shards, task = TokenShards(config.task.shards, path), config.task
    stream = WindowStream(shards, window=task.window_tokens, rows_per_batch=task.rows_per_batch, seed=task.seed)
    return FeatureTask(shards, Tokenizer.load(path), teacher, stream)
