"""One training run from a config: build or load the net, train it, write a model directory."""

import shutil

import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from qdts.models.checkpoint import load, save
from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5
from qdts.models.tokenizer import SPECIAL_TOKENS, Tokenizer
from qdts.models.training.config import TrainConfig
from qdts.models.training.loop import Trainer
from qdts.models.training.plot import plot_losses

# What a model directory holds beside the net.
_COMPANIONS = ("tokenizer.json", "lexicon.safetensors")


def run_training(config: TrainConfig) -> None:
    """Train to the last step and write `out/model`; a run that was cut short goes on from its checkpoint."""
    torch.manual_seed(config.seed)  # pyright: ignore[reportUnknownMemberType]
    net = load(config.start_from).train() if config.start_from else fresh_net(config)
    Trainer(net, config).run()
    directory = config.out / "model"
    save(net, directory)
    for name in _COMPANIONS:
        shutil.copyfile(config.model / name, directory / name)
    plot_losses(config.out / "metrics.jsonl", config.out / "loss.png")


def fresh_net(config: TrainConfig) -> T5:
    """A net of the configured shape, its embeddings started from the lexicon's where there are some."""
    shape = config.shape
    net = T5(
        T5Config(
            vocab_size=Tokenizer.load(config.model / "tokenizer.json").vocab_size,
            d_model=shape.d_model,
            d_kv=shape.d_kv,
            d_ff=shape.d_ff,
            num_layers=shape.num_layers,
            num_decoder_layers=shape.num_decoder_layers,
            num_heads=shape.num_heads,
            num_features=NUM_FEATURES,
            dropout_rate=config.dropout,
        )
    )
    path = config.model / "embeddings.safetensors"
    if path.is_file():
        start = load_file(path)["embeddings"]
        with torch.no_grad():
            net.shared.weight[len(SPECIAL_TOKENS) :] = start[len(SPECIAL_TOKENS) :]
    return net
