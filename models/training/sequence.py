"""Learning to write one sequence after reading another: packed windows of shards, cross-entropy on every token.

What is read and what is written is the objective's affair (`spans.py`, `prefix.py`). Knows nothing of optimisers and
devices. Shapes: B windows · W tokens of one · S encoder tokens · T decoder tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from qdts.models.nets.flops import TRAINING_FACTOR, forward_flops
from qdts.models.nets.t5 import T5
from qdts.models.runtimes.base import Ids
from qdts.models.training.shards import TokenShards
from qdts.models.training.task import Outcome
from qdts.models.training.windows import WindowStream


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceBatch:
    """Rows without padding: ids (B, S) are read; tokens (B, T) are written, labels (B, T) come after each."""

    ids: Ids
    tokens: Ids
    labels: Ids


class Objective(Protocol):
    """Makes something to learn of raw windows."""

    name: str
    # Tokens of a window.
    window: int

    def make(self, windows: Ids, rng: np.random.Generator) -> SequenceBatch:
        """(B, W) -> B rows; chance comes from `rng` alone."""
        ...


class SequenceTask:
    """One objective over shards."""

    def __init__(self, shards: TokenShards, objective: Objective, *, rows_per_batch: int, seed: int) -> None:
        self._shards, self._objective = shards, objective
        self._stream = WindowStream(shards, window=objective.window, rows_per_batch=rows_per_batch, seed=seed)

    def batches(self) -> Iterator[SequenceBatch]:
        """A function of shards, objective and seed alone."""
        return self.batches_from(0)

    def batches_from(self, step: int) -> Iterator[SequenceBatch]:
        """The stream without its first `step` batches: they are counted, not read."""
        window = self._objective.window
        return (
            self._objective.make(self._shards.read(starts, window), rng)
            for starts, rng in self._stream.windows_from(step)
        )

    def loss(self, net: nn.Module, batch: SequenceBatch) -> Outcome:
        """`net` is a T5; the mean over all labels."""
        return sequence_loss(cast(T5, net), batch)


def sequence_loss(net: T5, batch: SequenceBatch) -> Outcome:
    """Cross-entropy of the labels, and how many are the first choice."""
    device = net.shared.weight.device
    ids, tokens, labels = (torch.as_tensor(array).to(device) for array in (batch.ids, batch.tokens, batch.labels))
    # One row stands for all: the attention bias then stays one per head instead of one per row and head.
    mask = torch.ones(1, ids.shape[1], dtype=torch.bool, device=device)
    # No query, so no interaction features.
    decoded = net.decode(tokens, net.encode(ids, mask), mask)  # (B, T, C)
    logits = net.logits(decoded).flatten(0, 1).float()  # (B T, V)
    loss = F.cross_entropy(logits, labels.flatten())
    accuracy = (logits.detach().argmax(-1) == labels.flatten()).float().mean()
    num_rows, encoder_tokens = batch.ids.shape
    return Outcome(
        loss=loss,
        num_tokens=batch.ids.size + batch.tokens.size,
        report={"loss": loss.detach(), "accuracy": accuracy},
        flops=TRAINING_FACTOR * num_rows * forward_flops(net.config, encoder_tokens, batch.tokens.shape[1]),
    )
