"""The decoder-only net learns what the encoder-decoder would: the same examples, labels and weights."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from qdts.models.interaction import NUM_TEXT_FEATURES
from qdts.models.nets.decoder_only import DecoderOnly, DecoderOnlyConfig
from qdts.models.training.config import FitTaskConfig, LoopConfig
from qdts.models.training.dataset import TrainBatch
from qdts.models.training.decoder_only import DecoderOnlyTask
from qdts.models.training.fit import FitTask
from qdts.models.training.loop import METRICS, Trainer


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The loop sets the number of threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config(data_dir: Path) -> FitTaskConfig:
    return FitTaskConfig(data=(data_dir,), shares=(1.0,), tokens_per_batch=512, indexed_share=0.5)


def make_net(num_features: int = NUM_TEXT_FEATURES) -> DecoderOnly:
    torch.manual_seed(2)
    shape = DecoderOnlyConfig(vocab_size=600, d_model=32, d_ff=64, num_layers=2, num_heads=4, num_features=num_features)
    return DecoderOnly(shape)


def row_loss(net: DecoderOnly, batch: TrainBatch, row: int) -> Tensor:
    """The weighted sum for one row, put together by hand."""
    length = int(batch.mask[row].sum())
    document = net.interact(
        net.embed(torch.tensor(batch.ids[row, :length])), torch.tensor(batch.features[row, :length])
    )
    sequence = torch.cat([document, net.embed(torch.tensor(batch.tokens[row]))])
    logits = net.logits(net(sequence[None])[0][0, length:])
    losses = F.cross_entropy(logits, torch.tensor(batch.labels[row]), reduction="none")
    return (losses * torch.tensor(batch.weights[row])).sum()


@torch.no_grad()
def test_the_loss_is_that_of_each_row_alone(config: FitTaskConfig) -> None:
    net, task = make_net(), DecoderOnlyTask(config)
    batch = next(batch for batch in task.batches() if len(set(batch.mask.sum(axis=1).tolist())) > 1)
    outcome = task.loss(net, batch)
    expected = sum((row_loss(net, batch, row) for row in range(len(batch.ids))), torch.zeros(()))
    torch.testing.assert_close(outcome.loss, expected / batch.weights.sum())
    assert outcome.num_tokens == batch.mask.sum()
    assert outcome.flops > 0


def test_batches_are_those_of_the_encoder_decoder(config: FitTaskConfig) -> None:
    ours, theirs = DecoderOnlyTask(config).batches_from(3), FitTask(config).batches()
    for _ in range(3):
        next(theirs)
    for _ in range(2):
        first, second = next(ours), next(theirs)
        assert np.array_equal(first.ids, second.ids) and np.array_equal(first.weights, second.weights)


@torch.no_grad()
def test_features_matter_only_where_the_net_has_a_place_for_them(config: FitTaskConfig) -> None:
    task = DecoderOnlyTask(config)
    batch = next(task.batches())
    blank = replace(batch, features=np.zeros_like(batch.features))
    for num_features, differs in ((NUM_TEXT_FEATURES, True), (0, False)):
        net = make_net(num_features)
        assert (task.loss(net, batch).loss != task.loss(net, blank).loss).item() is differs


def test_the_loss_falls(config: FitTaskConfig, tmp_path: Path) -> None:
    loop = LoopConfig(
        out=tmp_path, num_steps=40, warmup_steps=4, num_threads=1, log_every=1, learning_rate=0.01, precision="fp32"
    )
    Trainer(make_net().train(), DecoderOnlyTask(config), loop).run()
    losses = [json.loads(line)["loss"] for line in (tmp_path / METRICS).read_text().splitlines()]
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
