"""The network on the device: a T5's weights, its encoder over packed documents, its decoder's step.

Shapes: N tokens of documents laid end to end · W lanes, the sequences of a step · T tokens of a step · C hidden ·
V vocabulary · L decoder layers · H heads · D head dim.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from qdts.models.nets.t5 import T5, stack_bias
from qdts.models.runtimes.cuda.layers import (
    CrossAttention,
    DocumentLayer,
    FeedForward,
    SelfAttention,
    StepLayout,
    Sublayer,
    bias_table,
    run_sublayers,
)


class CudaNet:
    """Weights of one type. `head` (V, C) and `scale` give scores: hidden @ head.T * scale."""

    def __init__(self, net: T5, dtype: torch.dtype) -> None:
        config = net.config
        self.config = config
        self.dtype = dtype
        self.table = net.shared.weight.to(dtype)
        self.head = self.table if config.tie_word_embeddings else net.lm_head.weight.to(dtype)
        self.scale = config.d_model**-0.5 if config.tie_word_embeddings else 1.0
        self._interaction = net.interaction if config.num_features else None
        self._encoder = _Stack(net.encoder.block, net.encoder.final_layer_norm.weight, dtype)
        self._decoder = _Stack(net.decoder.block, net.decoder.final_layer_norm.weight, dtype)
        cross = [cast(Any, block).layer[1] for block in net.decoder.block]
        self._cross = [CrossAttention(layer.EncDecAttention, dtype) for layer in cross]
        self._cross_norms = [cast(Tensor, layer.layer_norm.weight.to(dtype)) for layer in cross]
        weights = [each.weight.T for layer in cross for each in (layer.EncDecAttention.k, layer.EncDecAttention.v)]
        self._documents = torch.stack(weights).to(dtype).contiguous()  # (2 L, C, H D)

    def encode(self, tokens: Tensor, starts: Tensor, longest: int) -> Tensor:
        """Ids (N,) of documents from starts (B + 1,), both int32 -> (N, C)"""
        stack, sublayers = self._encoder, list[Sublayer]()
        for attend, feed_forward, norms in stack.layers:
            sublayers += [(norms[0], partial(attend.encode, starts, longest)), (norms[-1], feed_forward)]
        return run_sublayers(self._embed(tokens), sublayers, stack.last, self.config.layer_norm_epsilon)

    def interact(self, hidden: Tensor, features: Tensor, present: Tensor) -> Tensor:
        """Add the projected features (N, F) to hidden (N, C), float32, where present (N,)."""
        if self._interaction is None:
            return hidden
        return torch.where(present[:, None], self._interaction(hidden, features), hidden)

    def project_documents(self, hidden: Tensor) -> Tensor:
        """(N, C) -> (2 L, N, H, D): each layer's keys, then its values."""
        states = hidden.to(self.dtype)[None].expand(len(self._documents), -1, -1)
        projected = torch.bmm(states, self._documents)
        return projected.view(len(self._documents), len(hidden), self.config.num_heads, self.config.d_kv)

    def step(
        self,
        tokens: Tensor,
        layout: StepLayout,
        past: Sequence[tuple[Tensor, Tensor]],
        documents: Sequence[DocumentLayer],
    ) -> Tensor:
        """Ids (W T,) int32 -> (W T, C); `past` and `documents` by layer, the new keys and values join the past."""
        stack, sublayers = self._decoder, list[Sublayer]()
        for index, (attend, feed_forward, norms) in enumerate(stack.layers):
            sublayers += [
                (norms[0], partial(attend.step, layout, past[index])),
                (self._cross_norms[index], partial(self._cross[index].step, layout, documents[index])),
                (norms[-1], feed_forward),
            ]
        return run_sublayers(self._embed(tokens), sublayers, stack.last, self.config.layer_norm_epsilon)

    def _embed(self, tokens: Tensor) -> Tensor:
        return nn.functional.embedding(tokens, self.table).float()


class _Stack:
    """Self-attention and feed-forward of each block with their norms, and the norm at the end."""

    def __init__(self, blocks: nn.ModuleList, last: Tensor, dtype: torch.dtype) -> None:
        bias = bias_table(stack_bias(blocks))
        self.last = last.to(dtype)
        self.layers: list[tuple[SelfAttention, FeedForward, tuple[Tensor, Tensor]]] = []
        for block in blocks:
            first, last_layer = cast(Any, block).layer[0], cast(Any, block).layer[-1]
            norms = (first.layer_norm.weight.to(dtype), last_layer.layer_norm.weight.to(dtype))
            attend = SelfAttention(first.SelfAttention, bias, dtype)
            self.layers.append((attend, FeedForward(last_layer.DenseReluDense, dtype), norms))
