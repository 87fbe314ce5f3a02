"""Supervised training as a task: documents and queries in, the sentences that answer out.

The examples may be people's (sft), a teacher's (distil) or made from raw prose (fit): the loss is the same. Knows
nothing of how they were made.
"""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qdts.models.nets.flops import TRAINING_FACTOR, encoder_flops, forward_flops
from qdts.models.nets.t5 import T5
from qdts.models.training.config import FitTaskConfig
from qdts.models.training.dataset import ExampleSet, TrainBatch, batches
from qdts.models.training.reading import marks_sentences, read_documents, reads_states, sentence_numbers
from qdts.models.training.similarity import quoted_sentences, similarity_accuracy, similarity_loss
from qdts.models.training.task import Outcome


class FitTask:
    """Weighted cross-entropy over data sets of examples."""

    def __init__(self, config: FitTaskConfig) -> None:
        self._config = config
        self._sets = [ExampleSet(path) for path in config.data]

    def batches(self) -> Iterator[TrainBatch]:
        """Examples of like length, a function of the config alone."""
        return self.batches_from(0)

    def batches_from(self, step: int) -> Iterator[TrainBatch]:
        """The stream without its first `step` batches."""
        return batches(self._sets, self._config, step)

    def loss(self, net: nn.Module, batch: TrainBatch) -> Outcome:
        """`net` is a T5."""
        return weighted_loss(cast(T5, net), batch, self._config.similarity_weight)


def weighted_loss(net: T5, batch: TrainBatch, similarity_weight: float = 0.0) -> Outcome:
    """Cross-entropy per label, weighted; reports how often the right sentence would have been chosen first.

    A batch whose weights are all nothing has a loss of nothing. Where the net has features made of states,
    `similarity_weight` times the loss of what they are made from is added.
    """
    device = net.shared.weight.device
    ids, mask, features, queries, query_mask, tokens = (
        torch.as_tensor(array).to(device)
        for array in (batch.ids, batch.mask, batch.features, batch.queries, batch.query_mask, batch.tokens)
    )
    read, cosines = read_documents(net, ids, mask, features, queries, query_mask)  # (B, S, C), (B, N)
    decoded = net.decode(tokens, read, mask)  # (B, T, C)
    # Chosen on the host: a boolean index on a GPU would wait for everything before it.
    wanted = np.flatnonzero(batch.weights)  # (N,)
    labels = torch.as_tensor(batch.labels.reshape(-1)[wanted]).to(device)
    weights = torch.as_tensor(batch.weights.reshape(-1)[wanted]).to(device)
    logits = net.logits(decoded.flatten(0, 1)[torch.as_tensor(wanted).to(device)]).float()  # (N, V)
    losses = F.cross_entropy(logits, labels, reduction="none")
    loss = (losses * weights).sum() / weights.sum().clamp(min=1e-6)
    report = token_report(logits.detach(), labels, losses.detach())
    if cosines is not None and similarity_weight:
        quoted = quoted_sentences(batch, sentence_numbers(ids, mask), cosines.shape[1])
        loss = loss + similarity_weight * similarity_loss(cosines, quoted)
        report["similarity_accuracy"] = similarity_accuracy(cosines.detach(), quoted)
    return Outcome(
        loss=loss,
        num_tokens=int(batch.mask.sum()),
        report=report,
        flops=_flops(net, batch, len(wanted)),
    )


def token_report(logits: Tensor, labels: Tensor, losses: Tensor) -> dict[str, float | Tensor]:
    """How often markers and copied tokens are right, and their losses, from logits (N, V), labels and losses (N,)."""
    is_marker = marks_sentences(labels)
    right = (logits.argmax(-1) == labels).float()
    return {
        "marker_accuracy": _mean_where(is_marker, right),
        "marker_loss": _mean_where(is_marker, losses),
        "copied_accuracy": _mean_where(~is_marker, right),
        "copied_loss": _mean_where(~is_marker, losses),
    }


def _mean_where(chosen: Tensor, values: Tensor) -> Tensor:
    """Not a number where nothing is chosen."""
    return (values * chosen).sum() / chosen.sum()


def _flops(net: T5, batch: TrainBatch, num_logits: int) -> float:
    """What the real tokens cost: padding does not count as use."""
    config = net.config
    real: list[Any] = batch.mask.sum(axis=1).tolist()
    asked: list[Any] = batch.query_mask.sum(axis=1).tolist() if reads_states(net) else []
    decoder_tokens = batch.tokens.shape[1]
    total = sum(forward_flops(config, length, decoder_tokens, 0) for length in real)
    total += sum(encoder_flops(config, length) for length in asked)
    logits = 2.0 * num_logits * config.d_model * config.vocab_size
    return TRAINING_FACTOR * (total + logits)
