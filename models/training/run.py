"""One training run: build or load a net, train it on a task, write a model directory."""

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from torch import nn

from qdts.models.checkpoint import load, save
from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5
from qdts.models.settings import copy_settings
from qdts.models.tokenizer import SPECIAL_TOKENS, Tokenizer
from qdts.models.training.config import FitConfig, LoopConfig, NetShape, RunConfig
from qdts.models.training.fit import FitTask
from qdts.models.training.loop import METRICS, Trainer
from qdts.models.training.plot import plot_metrics
from qdts.models.training.reading import reads_states
from qdts.models.training.similarity_task import SimilarityTask
from qdts.models.training.task import Task

# What a model directory holds beside the net.
_COMPANIONS = ("tokenizer.json", "lexicon.safetensors")


def run_fit(config: FitConfig) -> None:
    """Supervised training, of whatever examples the config names."""
    run_task(config, FitTask(config.task))


def run_similarity(config: FitConfig) -> None:
    """The encoder alone learns which sentences answer; ValueError where the net makes nothing of that."""
    net = initial_net(config.model, config.start_from, config.shape, config.dropout)
    if not reads_states(net):
        raise ValueError(f"num_features must be {NUM_FEATURES} to compare states, is {net.config.num_features}")
    train(net, SimilarityTask(config.task), config.loop, config.model)


def run_task(config: RunConfig, task: Task) -> bool:
    """Train the net the config names on `task`; returns as `train` does."""
    torch.manual_seed(config.loop.seed)  # pyright: ignore[reportUnknownMemberType]
    net = initial_net(config.model, config.start_from, config.shape, config.dropout)
    return train(net, task, config.loop, config.model)


def train(net: T5, task: Task, loop: LoopConfig, companions: Path) -> bool:
    """Train `net` and write loop.out/model with the tokenizer and lexicon of the directory `companions`.

    A run that was cut short goes on from its checkpoint. False, and no model yet, where `max_minutes` ended it.
    """
    is_finished = run_loop(net, task, loop)
    if is_finished:
        write_model(net, loop.out / "model", companions)
    return is_finished


def run_loop(net: nn.Module, task: Task, loop: LoopConfig) -> bool:
    """Train and draw the curves; False where `max_minutes` ended the run, which is said."""
    is_finished = Trainer(net, task, loop).run()
    plot_metrics(loop.out / METRICS, loop.out / "loss.png")
    if not is_finished:
        print(f"{loop.out}: stopped after max_minutes with a checkpoint; run the stage again to go on")
    return is_finished


def write_model(net: T5, directory: Path, companions: Path) -> None:
    """The net with what belongs beside it."""
    save(net, directory)
    for name in _COMPANIONS:
        if (companions / name).is_file():
            shutil.copyfile(companions / name, directory / name)
    copy_settings(companions, directory)


def initial_net(model: Path, start_from: Path | None, shape: NetShape, dropout: float = 0.0) -> T5:
    """The net a run starts from: that of the model directory `start_from`, or one of `shape` for `model`'s words."""
    if start_from is None:
        return fresh_net(model, shape, dropout)
    loaded = load(start_from)
    net = T5(replace(loaded.config, dropout_rate=dropout))
    net.load_state_dict(loaded.state_dict())
    return net


def fresh_net(model: Path, shape: NetShape, dropout: float = 0.0) -> T5:
    """A net of `shape`, its embeddings started from the lexicon's where `model` has some.

    The leading columns of one are the leading columns of the other, whichever is wider.
    """
    net = T5(
        T5Config(
            vocab_size=Tokenizer.load(model / "tokenizer.json").vocab_size,
            d_model=shape.d_model,
            d_kv=shape.d_kv,
            d_ff=shape.d_ff,
            num_layers=shape.num_layers,
            num_decoder_layers=shape.num_decoder_layers,
            num_heads=shape.num_heads,
            num_features=shape.num_features,
            dropout_rate=dropout,
        )
    )
    path = model / "embeddings.safetensors"
    if path.is_file():
        start = load_file(path)["embeddings"][len(SPECIAL_TOKENS) :, : shape.d_model]
        with torch.no_grad():
            net.shared.weight[len(SPECIAL_TOKENS) :, : start.shape[1]] = start
    return net
