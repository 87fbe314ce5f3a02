"""Fold a BERT encoder (post-norm, biases, absolute positions) into the shape of T5 (pre-norm, none of these): a start
for the encoder that knows what a sentence encoder of a billion pairs knows, before any training.

BERT normalises the stream itself, h' = g (h + F(h) - mean) / sigma + b; T5 adds to a stream v that nothing rescales
and normalises what it reads, n = w v / rms(v). Were sigma the same for all tokens, h would be affine in a stream of
T5's kind: h = a * v + c with v' = v + F(h) / a,  a' = a g / sigma,  c' = (c + bias of F - mean) g / sigma + b.
So sigma and mean are replaced by their averages over a sample of text, and what that leaves out is fitted:

- every matrix W that reads h reads n instead, W A, where A is the least-squares map from n to h on the sample;
- biases need a constant to hang on: the embeddings get one in their direction of least variance, and the least-squares
  map from n to the number 1 finds it again (`one`), so that W h + b = (W A + b one) n;
- w makes every channel of n as large as every other: few channels grow large where g is small, and neither int8
  nor a decoder could read past them;
- absolute positions are left out of the embeddings. What they did to attention is put into T5's bias: the mean
  difference of BERT's scores and ours at each bucket of distances. T5 has one table for all layers, and heads
  have no order, so each layer's heads are put in the order that fits the first layer's best.

Knows nothing of our vocabulary (`fold_vocabulary.py`) or of training; features.py goes on from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from qdts.models.nets.config import T5Config
from qdts.models.nets.layers import Attention, RMSNorm, mask_bias, relative_buckets
from qdts.models.nets.t5 import T5, EncoderBlock, stack_bias

_RIDGE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldSettings:
    """`constant`: the embeddings' constant as a share of their size. `least_scale`: a channel's scale `a` is not
    taken below this share of the median one: what divides by it would grow without bound."""

    constant: float = 0.3
    least_scale: float = 0.2

    def __post_init__(self) -> None:
        for name in ("constant", "least_scale"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in (0, 1], is {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """`table` (V, C): BERT's words for the folded encoder's stream. `readout` (C, C): its states to BERT's."""

    table: Tensor
    readout: Tensor


@torch.no_grad()
def fold(bert: Any, net: T5, ids: Tensor, mask: Tensor, settings: FoldSettings) -> Folded:
    """Write `bert` (a transformers BertModel) into the encoder of `net`, by a sample of BERT's ids (B, S).

    ValueError where the sizes of the two differ.
    """
    _check_sizes(bert.config, net.config)
    run = _Fold(bert, net, ids, mask.bool(), settings)
    bias = stack_bias(net.encoder.block).weight
    bias.zero_()
    differences = run.fold_layers()
    run.order_heads(differences)
    bias.copy_(run.mean_difference(differences))
    run.fold_layers()
    return Folded(table=run.table, readout=run.fold_readout())


@dataclass(slots=True)
class _Fold:
    """One folding. Shapes: B texts · S tokens · C channels · H heads · N real tokens · R buckets."""

    bert: Any
    net: T5
    ids: Tensor
    mask: Tensor
    settings: FoldSettings
    table: Tensor = field(init=False)
    orders: list[Tensor] = field(init=False)
    _targets: Sequence[Tensor] = field(init=False)
    _stream: Tensor = field(init=False)
    _scale: Tensor = field(init=False)
    _offset: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.table = _words_with_constant(self.bert.embeddings, self.ids[self.mask], self.settings.constant)
        outputs = self.bert(input_ids=self.ids, attention_mask=self.mask.long(), output_hidden_states=True)
        self._targets = outputs.hidden_states  # layers + 1 of (B, S, C)
        self.orders = [torch.arange(self.bert.config.num_attention_heads)] * len(self.net.encoder.block)

    def fold_layers(self) -> list[Tensor]:
        """All layers once; returns for each the mean difference of scores at each bucket, (R, H), BERT's order."""
        self._stream = self.table[self.ids]
        self._scale = torch.ones_like(self._stream[0, 0])
        self._offset = torch.zeros_like(self._scale)
        return [self._fold_layer(index) for index in range(len(self.net.encoder.block))]

    def _fold_layer(self, index: int) -> Tensor:
        attention, feed_forward = cast(EncoderBlock, self.net.encoder.block[index]).layer
        theirs, hidden = self.bert.encoder.layer[index], self._targets[index]
        normed = self._read(attention.layer_norm)
        ours = cast(Attention, attention.SelfAttention)
        self._fold_attention(ours, theirs.attention, self.orders[index], normed, hidden)
        difference = self._score_difference(ours, theirs.attention.self, self.orders[index], normed, hidden)
        positions = torch.arange(self.mask.shape[1])[None]
        bias = stack_bias(self.net.encoder.block)(positions, positions) + self._mask_bias()
        self._stream = self._stream + ours(normed, ours.project(normed), bias)
        mixed = hidden + _attended(theirs.attention, hidden, self._mask_bias())
        out = theirs.attention.output
        self._offset = self._offset + out.dense.bias + out.dense.weight @ theirs.attention.self.value.bias
        hidden = self._renormalise(out.LayerNorm, mixed)
        self._fold_feed_forward(feed_forward, theirs, hidden)
        return difference

    def _fold_attention(self, ours: Attention, theirs: Any, order: Tensor, normed: Tensor, hidden: Tensor) -> None:
        reads = self._fit(normed, hidden)
        query = theirs.self.query.weight @ reads + theirs.self.query.bias[:, None] @ self._one(normed)
        ours.q.weight.copy_(_ordered(query * ours.head_dim**-0.5, order))
        # A bias of the keys adds the same to all scores of a query: softmax does not see it.
        ours.k.weight.copy_(_ordered(theirs.self.key.weight @ reads, order))
        ours.v.weight.copy_(_ordered(theirs.self.value.weight @ reads, order))
        out = theirs.output.dense.weight / self._scale[:, None]
        ours.o.weight.copy_(_ordered(out.T, order).T)

    def _fold_feed_forward(self, ours: Any, theirs: Any, hidden: Tensor) -> None:
        normed = self._read(ours.layer_norm)
        dense = ours.DenseReluDense
        inner = theirs.intermediate.dense
        dense.wi.weight.copy_(inner.weight @ self._fit(normed, hidden) + inner.bias[:, None] @ self._one(normed))
        dense.wo.weight.copy_(theirs.output.dense.weight / self._scale[:, None])
        self._stream = self._stream + dense(normed)
        self._offset = self._offset + theirs.output.dense.bias
        self._renormalise(theirs.output.LayerNorm, hidden + theirs.output.dense(F.gelu(inner(hidden))))

    def _renormalise(self, norm: Any, mixed: Tensor) -> Tensor:
        """Take BERT's norm of `mixed` into scale and offset; returns what BERT's stream is after it."""
        real = mixed[self.mask]
        sigma, mean = real.std(-1, unbiased=False).mean(), real.mean()
        self._offset = (self._offset - mean) * norm.weight / sigma + norm.bias
        scale = self._scale * norm.weight / sigma
        least = scale.abs().median() * self.settings.least_scale
        self._scale = torch.where(scale.abs() < least, torch.where(scale < 0, -least, least), scale)
        return norm(mixed)

    def _read(self, norm: RMSNorm) -> Tensor:
        """Set the norm's weight so that its channels are equally large; returns what it gives."""
        norm.weight.fill_(1.0)
        norm.weight.copy_(norm(self._stream)[self.mask].pow(2).mean(0).rsqrt())
        return norm(self._stream)

    def fold_readout(self) -> Tensor:
        """Set the last norm; (C, C) from its states to BERT's."""
        return self._fit(self._read(self.net.encoder.final_layer_norm), self._targets[-1])

    def _fit(self, normed: Tensor, target: Tensor) -> Tensor:
        return least_squares(normed[self.mask], target[self.mask])

    def _one(self, normed: Tensor) -> Tensor:
        """(1, C) that finds the constant."""
        return least_squares(normed[self.mask], torch.ones(int(self.mask.sum()), 1))

    def _mask_bias(self) -> Tensor:
        return mask_bias(self.mask, torch.float32)[:, None, None, :]

    def _score_difference(self, ours: Attention, theirs: Any, order: Tensor, normed: Tensor, hidden: Tensor) -> Tensor:
        """BERT's scores less ours, without bias, averaged by bucket: (R, H) in BERT's order of heads."""
        query, key = ours.split(theirs.query(hidden)), ours.split(theirs.key(hidden))
        theirs_scores = query @ key.transpose(2, 3) * ours.head_dim**-0.5  # (B, H, S, S)
        scores = ours.split(ours.q(normed)) @ ours.split(ours.k(normed)).transpose(2, 3)
        difference = self._by_bucket(theirs_scores) - self._by_bucket(scores)[:, torch.argsort(order)]
        return difference - difference.mean(0)

    def _by_bucket(self, scores: Tensor) -> Tensor:
        """Mean over pairs of real tokens of (B, H, S, S) at each bucket: (R, H)."""
        config, size = self.net.config, self.mask.shape[1]
        limit = config.relative_attention_max_distance
        places = torch.arange(size)
        distance = (places[None] - places[:, None]).clamp(-limit, limit) + limit  # key - query
        bucket = relative_buckets(config, bidirectional=True)[distance].flatten()  # (S S,)
        pairs = (self.mask[:, :, None] & self.mask[:, None, :]).float()  # (B, S, S)
        sums = torch.einsum("bhqk,bqk->qkh", scores, pairs).flatten(0, 1)  # (S S, H)
        total = torch.zeros(config.relative_attention_num_buckets, scores.shape[1]).index_add_(0, bucket, sums)
        count = torch.zeros(len(total)).index_add_(0, bucket, pairs.sum(0).flatten())
        return total / count.clamp(min=1)[:, None]

    def order_heads(self, differences: Sequence[Tensor]) -> None:
        """Put each layer's heads in the order in which their differences are closest to the mean one's."""
        reference = differences[0]
        for _ in range(3):
            self.orders = [_match(reference, difference) for difference in differences]
            reference = self.mean_difference(differences)

    def mean_difference(self, differences: Sequence[Tensor]) -> Tensor:
        """(R, H): over the layers, each in its order."""
        return torch.stack([d[:, order] for d, order in zip(differences, self.orders, strict=True)]).mean(0)


def _check_sizes(theirs: Any, ours: T5Config) -> None:
    wanted = {
        "d_model": theirs.hidden_size,
        "d_kv": theirs.hidden_size // theirs.num_attention_heads,
        "d_ff": theirs.intermediate_size,
        "num_layers": theirs.num_hidden_layers,
        "num_heads": theirs.num_attention_heads,
        "feed_forward_proj": theirs.hidden_act,
    }
    for name, value in wanted.items():
        if getattr(ours, name) != value:
            raise ValueError(f"{name} must be {value}, as in the encoder that is folded, is {getattr(ours, name)}")


def least_squares(inputs: Tensor, targets: Tensor) -> Tensor:
    """The W (D, C) with inputs (N, C) W^T nearest to targets (N, D); a little ridge keeps it small."""
    gram = inputs.T @ inputs
    gram = gram + _RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    return torch.linalg.solve(gram, inputs.T @ targets).T


def _words_with_constant(embeddings: Any, ids: Tensor, constant: float) -> Tensor:
    """BERT's words without positions (V, C), and a constant in the direction in which those of `ids` vary least."""
    mean_position = embeddings.position_embeddings.weight[: len(embeddings.position_embeddings.weight) // 2].mean(0)
    words = embeddings.word_embeddings.weight + mean_position + embeddings.token_type_embeddings.weight[0]
    table = cast(Tensor, embeddings.LayerNorm(words))
    sample = table[ids]
    _, _, directions = torch.linalg.svd(sample - sample.mean(0), full_matrices=False)
    size = sample.pow(2).mean().sqrt() * table.shape[1] ** 0.5
    return table + constant * size * directions[-1]


def _attended(attention: Any, hidden: Tensor, bias: Tensor) -> Tensor:
    """What BERT's attention adds to its stream."""
    heads = attention.self.num_attention_heads

    def split(x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], heads, -1).transpose(1, 2)

    parts = (attention.self.query, attention.self.key, attention.self.value)
    out = F.scaled_dot_product_attention(*(split(part(hidden)) for part in parts), attn_mask=bias)
    return attention.output.dense(out.transpose(1, 2).flatten(2))


def _ordered(weight: Tensor, order: Tensor) -> Tensor:
    """Rows (H D, C) with the heads in `order`."""
    return weight.view(len(order), -1, weight.shape[1])[order].flatten(0, 1)


def _match(reference: Tensor, difference: Tensor) -> Tensor:
    """For each head of `reference` (R, H) one of `difference`, no two the same, the closest pairs first."""
    cost = (reference[:, :, None] - difference[:, None, :]).pow(2).sum(0)  # (H, H)
    order = torch.zeros(cost.shape[0], dtype=torch.long)
    for _ in range(cost.shape[0]):
        row, column = divmod(int(cost.argmin()), cost.shape[1])
        order[row] = column
        cost[row, :] = torch.inf
        cost[:, column] = torch.inf
    return order
