"""The supervised loss is the weighted cross-entropy of what is to be written, row by row."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.t5 import T5
from qdts.models.similarity import similarity_features
from qdts.models.training.config import FitTaskConfig
from qdts.models.training.dataset import TrainBatch
from qdts.models.training.fit import FitTask, weighted_loss


@pytest.fixture
def net(make_net: Callable[..., T5]) -> T5:
    return make_net(vocab_size=600, num_features=NUM_FEATURES)


@pytest.fixture
def batch(data_dir: Path) -> TrainBatch:
    stream = FitTask(FitTaskConfig(data=(data_dir,), shares=(1.0,), tokens_per_batch=600)).batches()
    return next(batch for batch in stream if len(batch.ids) >= 3)


def test_the_loss_is_that_of_each_row_on_its_own(net: T5, batch: TrainBatch) -> None:
    total, tensors = 0.0, [torch.as_tensor(a) for a in (batch.ids, batch.features, batch.tokens, batch.labels)]
    with torch.no_grad():
        for row in range(len(batch.ids)):
            length = int(batch.mask[row].sum())
            ids, features, tokens, labels = (tensor[row : row + 1] for tensor in tensors)
            mask = torch.ones(1, length, dtype=torch.bool)
            states = net.encode(ids[:, :length], mask)
            query = torch.as_tensor(batch.queries[row, batch.query_mask[row]])[None]
            asked = net.encode(query, torch.ones_like(query, dtype=torch.bool))
            made = similarity_features(batch.ids[row, :length], states[0].numpy(), asked[0].numpy())
            hidden = net.interact(states, torch.cat([features[:, :length], torch.as_tensor(made)[None]], dim=-1))
            losses = F.cross_entropy(net.logits(net.decode(tokens, hidden, mask))[0], labels[0], reduction="none")
            total += float((losses * torch.as_tensor(batch.weights[row])).sum())
        outcome = weighted_loss(net, batch)
    assert float(outcome.loss) == pytest.approx(total / batch.weights.sum(), rel=1e-5)
    assert outcome.num_tokens == batch.mask.sum()


def test_accuracies_over_nothing_are_no_numbers(net: T5, batch: TrainBatch) -> None:
    silent = replace(batch, weights=np.zeros_like(batch.weights))
    outcome = weighted_loss(net, silent)
    assert float(outcome.loss.detach()) == 0.0
    assert all(np.isnan(float(value)) for value in outcome.report.values())
    outcome = weighted_loss(net, batch)
    assert set(outcome.report) == {"marker_accuracy", "marker_loss", "copied_accuracy", "copied_loss"}
    assert 0 <= float(outcome.report["marker_accuracy"]) <= 1


def test_padding_costs_no_useful_operations(net: T5, batch: TrainBatch) -> None:
    def pad(array: np.ndarray) -> np.ndarray:
        return np.pad(array, ((0, 0), (0, 50), *[(0, 0)] * (array.ndim - 2)))

    wider = replace(batch, ids=pad(batch.ids), mask=pad(batch.mask), features=pad(batch.features))
    plain, padded = weighted_loss(net, batch), weighted_loss(net, wider)
    assert 0 < plain.flops == padded.flops == weighted_loss(net, batch, 1.0).flops
    assert torch.allclose(plain.loss, padded.loss, rtol=1e-5)
