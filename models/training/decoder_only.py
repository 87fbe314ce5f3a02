"""The decoder-only baseline learns from the same batches as the encoder-decoder: one sequence per example.

document (with the query at its head), then the decoder's prefix, then the target; the loss is on the target alone, with
the weights it has for an encoder-decoder. Knows nothing of how examples are made.
Shapes: B batch · S document tokens · T prefix and target tokens · C hidden.
"""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qdts.models.nets.decoder_only import DecoderOnly, forward_flops
from qdts.models.nets.flops import TRAINING_FACTOR
from qdts.models.training.dataset import TrainBatch
from qdts.models.training.fit import FitTask, token_report
from qdts.models.training.task import Outcome


class DecoderOnlyTask(FitTask):
    """Weighted cross-entropy on the target's tokens, over the batches of `FitTask`."""

    def loss(self, net: nn.Module, batch: TrainBatch) -> Outcome:
        """`net` is a DecoderOnly whose positions hold the longest S + T."""
        return weighted_loss(cast(DecoderOnly, net), batch)


def weighted_loss(net: DecoderOnly, batch: TrainBatch) -> Outcome:
    """Cross-entropy per label, weighted, as for the encoder-decoder."""
    device = net.shared.weight.device
    lengths = batch.mask.sum(axis=1)  # (B,)
    hidden, _ = net(sequences(net, batch))  # (B, S + T, C)
    rows, places = np.nonzero(batch.weights)
    labels = torch.as_tensor(batch.labels[rows, places]).to(device)  # (N,)
    weights = torch.as_tensor(batch.weights[rows, places]).to(device)
    where = torch.as_tensor(rows * hidden.shape[1] + lengths[rows] + places).to(device)
    logits = net.logits(hidden.flatten(0, 1)[where]).float()  # (N, V)
    losses = F.cross_entropy(logits, labels, reduction="none")
    num_tokens = [int(length) + batch.tokens.shape[1] for length in lengths]
    flops = sum(forward_flops(net.config, count, 0) for count in num_tokens)
    flops += 2.0 * len(rows) * net.config.vocab_size * net.config.d_model
    return Outcome(
        loss=(losses * weights).sum() / weights.sum().clamp(min=1e-6),
        num_tokens=int(lengths.sum()),
        report=token_report(logits.detach(), labels, losses.detach()),
        flops=TRAINING_FACTOR * flops,
    )


def sequences(net: DecoderOnly, batch: TrainBatch) -> Tensor:
    """Embeddings (B, S + T, C): each row's document, right behind it its prefix and target, then padding."""
    device = net.shared.weight.device
    ids, features, tokens = (torch.as_tensor(a).to(device) for a in (batch.ids, batch.features, batch.tokens))
    document = net.interact(net.embed(ids), features)
    parts = torch.cat([document, net.embed(tokens)], dim=1)
    # Stable: real tokens keep their order, the document's padding goes to the end.
    is_padding = np.concatenate([~batch.mask, np.zeros(batch.tokens.shape, np.bool_)], axis=1)
    order = torch.as_tensor(np.argsort(is_padding, axis=1, kind="stable")).to(device)
    return torch.take_along_dim(parts, order[:, :, None], dim=1)
