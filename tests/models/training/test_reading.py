"""What a batch reads in torch is what a runtime reads row by row in numpy; and what brings sentences to queries."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from qdts.models.interaction import NUM_FEATURES, NUM_TEXT_FEATURES
from qdts.models.nets.t5 import T5
from qdts.models.similarity import similarity_features as by_row
from qdts.models.tokenizer import DOCUMENT, END, NONE, is_marker, marker
from qdts.models.training.config import FitConfig, FitTaskConfig, LoopConfig, NetShape
from qdts.models.training.dataset import TrainBatch
from qdts.models.training.fit import FitTask, weighted_loss
from qdts.models.training.reading import (
    read_documents,
    sentence_cosines,
    sentence_numbers,
    similarity_features,
)
from qdts.models.training.run import run_similarity
from qdts.models.training.similarity import similarity_loss, wanted_sentences
from qdts.models.training.similarity_task import SimilarityTask


@pytest.fixture
def batch(data_dir: Path) -> TrainBatch:
    """Rows of both modes."""
    config = FitTaskConfig(data=(data_dir,), shares=(1.0,), tokens_per_batch=600, indexed_share=0.5)
    return next(batch for batch in FitTask(config).batches() if 0 < (batch.ids[:, 0] == DOCUMENT).mean() < 1)


def tensors(batch: TrainBatch) -> list[torch.Tensor]:
    arrays = (batch.ids, batch.mask, batch.features, batch.queries, batch.query_mask)
    return [torch.as_tensor(array) for array in arrays]


def test_a_batch_is_its_rows_as_a_runtime_reads_them(make_net: Callable[..., T5], batch: TrainBatch) -> None:
    net = make_net(vocab_size=600, num_features=NUM_FEATURES)
    with torch.no_grad():
        read, cosines = read_documents(net, *tensors(batch))
        assert cosines is not None
        for row, length in enumerate(batch.mask.sum(axis=1)):
            ids, query = batch.ids[row, :length], batch.queries[row, batch.query_mask[row]]
            states, asked = (
                net.encode(torch.as_tensor(x)[None], torch.ones(1, len(x), dtype=torch.bool))[0] for x in (ids, query)
            )
            made = by_row(ids, states.numpy(), asked.numpy())
            num_sentences = int(is_marker(ids).sum())
            np.testing.assert_allclose(cosines[row, :num_sentences], made[is_marker(ids), 0], atol=1e-5)
            assert (cosines[row, num_sentences:] < -1).all()
            features = np.concatenate([batch.features[row, :length], made], axis=1)
            expected = net.interact(states, torch.as_tensor(features))
            torch.testing.assert_close(read[row, :length], expected, atol=1e-4, rtol=1e-4)


def test_a_net_without_such_features_reads_as_it_did(make_net: Callable[..., T5], batch: TrainBatch) -> None:
    net = make_net(vocab_size=600, num_features=NUM_TEXT_FEATURES)
    ids, mask, features, *_ = inputs = tensors(batch)
    read, cosines = read_documents(net, *inputs)
    assert cosines is None and torch.equal(read, net.interact(net.encode(ids, mask), features))
    assert "similarity_accuracy" not in weighted_loss(net, batch, 1.0).report


def test_features_do_not_teach_the_encoder(make_net: Callable[..., T5], batch: TrainBatch) -> None:
    """Zero states everywhere but in the features: no gradient comes back through them."""
    net = make_net(vocab_size=600, num_features=NUM_FEATURES)
    ids, mask, features, queries, query_mask = tensors(batch)
    hidden = net.encode(ids, mask).detach().requires_grad_()
    numbers = sentence_numbers(ids, mask)
    cosines = sentence_cosines(hidden, numbers, torch.ones(len(ids), hidden.shape[-1]))
    assert similarity_features(cosines.detach(), numbers).grad_fn is None
    similarity_loss(cosines, torch.ones_like(cosines)).backward()
    assert hidden.grad is not None and hidden.grad.abs().sum() > 0


def test_the_loss_is_the_cross_entropy_of_the_sentences_quoted() -> None:
    ids = torch.tensor(
        [[DOCUMENT, marker(7), 90, marker(8), 91, marker(9), END], [marker(0), 90, marker(1), 91, 92, END, 0]]
    )
    mask = torch.ones_like(ids, dtype=torch.bool)
    numbers = sentence_numbers(ids, mask)
    assert numbers.tolist() == [[0, 1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 2, 2, 2]]
    labels = torch.tensor([[marker(8), 91, marker(7), 90, END], [NONE, END, 0, 0, 0]])
    wanted = wanted_sentences(ids, numbers, labels, 3)
    assert wanted.tolist() == [[1, 1, 0], [0, 0, 0]]
    cosines = torch.tensor([[0.3, 0.2, 0.1], [0.5, 0.4, -10.0]])
    loss = similarity_loss(cosines, wanted)
    shares = (20 * cosines[0]).log_softmax(0)
    assert float(loss) == pytest.approx(float(-(shares[0] + shares[1]) / 2), rel=1e-6)
    assert float(similarity_loss(cosines, torch.zeros_like(wanted))) == 0.0


def test_the_task_is_that_part_of_the_supervised_loss(
    make_net: Callable[..., T5], batch: TrainBatch, data_dir: Path
) -> None:
    net = make_net(vocab_size=600, num_features=NUM_FEATURES)
    task = SimilarityTask(FitTaskConfig(data=(data_dir,), shares=(1.0,)))
    outcome = task.loss(net, batch)
    part = weighted_loss(net, batch, 1.0).loss - weighted_loss(net, batch, 0.0).loss
    assert float(outcome.loss.detach()) == pytest.approx(float(part.detach()), rel=1e-4)
    outcome.loss.backward()
    assert all(parameter.grad is None for parameter in net.decoder.parameters())
    assert 0 < outcome.flops < weighted_loss(net, batch, 1.0).flops
    assert outcome.num_tokens == batch.mask.sum()


def test_learning_brings_the_right_sentence_first(make_net: Callable[..., T5], batch: TrainBatch) -> None:
    net = make_net(vocab_size=600, num_features=NUM_FEATURES).train()
    optimizer = torch.optim.AdamW(net.encoder.parameters(), lr=3e-3)
    reports = []
    for _ in range(25):
        outcome = weighted_loss(net, batch, 10.0)
        outcome.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        reports.append(float(outcome.report["similarity_accuracy"]))
    assert reports[-1] > reports[0] and reports[-1] > 0.9


def test_a_net_that_compares_nothing_has_nothing_to_learn_here(
    data_dir: Path, tokenizer_path: Path, tmp_path: Path
) -> None:
    shape = NetShape(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_decoder_layers=1, num_heads=2, num_features=0)
    task = FitTaskConfig(data=(data_dir,), shares=(1.0,))
    config = FitConfig(model=tokenizer_path.parent, task=task, loop=LoopConfig(out=tmp_path), shape=shape)
    with pytest.raises(ValueError, match="num_features must be 13 to compare states, is 0"):
        run_similarity(config)
