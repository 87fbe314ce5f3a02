"""Similarity training as a task: the encoder alone learns to bring a query and the sentences that answer it together.

The examples are those of supervised training, of which it reads which sentences the target quotes. It comes before
the decoder's training: a decoder that has learned nothing spoils what the encoder knows.
Shapes: B batch · N sentences.
"""

from typing import Any, cast

import torch
from torch import nn

from qdts.models.nets.flops import TRAINING_FACTOR, encoder_flops
from qdts.models.nets.t5 import T5
from qdts.models.training.dataset import TrainBatch
from qdts.models.training.fit import FitTask
from qdts.models.training.reading import compare
from qdts.models.training.similarity import quoted_sentences, similarity_accuracy, similarity_loss
from qdts.models.training.task import Outcome


class SimilarityTask(FitTask):
    """On the batches of supervised training: cross-entropy of the sentences' similarities with the sentences quoted."""

    def loss(self, net: nn.Module, batch: TrainBatch) -> Outcome:
        """`net` is a T5; what stands behind its encoder is not touched."""
        net = cast(T5, net)
        device = net.shared.weight.device
        ids, mask, queries, query_mask = (
            torch.as_tensor(array).to(device) for array in (batch.ids, batch.mask, batch.queries, batch.query_mask)
        )
        numbers, cosines = compare(net, net.encode(ids, mask), ids, mask, queries, query_mask)
        wanted = quoted_sentences(batch, numbers, cosines.shape[1])  # (B, N)
        lengths: list[Any] = [*batch.mask.sum(axis=1).tolist(), *batch.query_mask.sum(axis=1).tolist()]
        return Outcome(
            loss=similarity_loss(cosines, wanted),
            num_tokens=int(batch.mask.sum()),
            report={"similarity_accuracy": similarity_accuracy(cosines.detach(), wanted)},
            flops=TRAINING_FACTOR * sum(encoder_flops(net.config, length) for length in lengths),
        )
