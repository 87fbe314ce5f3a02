"""T5's sublayers on the kernels: each takes the normed stream and gives what is added to it.

Weights are held in the type that is multiplied; the residual stream is float32 throughout (T5's outgrows float16).
Shapes: N tokens, whatever they belong to · W lanes, the sequences of a step · T tokens of a step · R rows of the memory
· P slots of a row · M tokens of the pool of documents · H heads · D head dim · C hidden · F inner width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qdts.kernels.attention import attention
from qdts.kernels.decode_cross_attention import decode_cross_attention
from qdts.kernels.decode_self_attention import decode_self_attention
from qdts.kernels.feed_forward import exact_gelu, gated_gelu
from qdts.kernels.rms_norm import add_rms_norm, rms_norm
from qdts.models.nets.layers import Attention, GatedFeedForward, PlainFeedForward, RelativePositionBias

# Tokens of one sequence that the kernel of cross-attention takes at once.
CROSS_BLOCK = 64

Sublayer = tuple[Tensor, Callable[[Tensor], Tensor]]


@dataclass(frozen=True, slots=True)
class StepLayout:
    """Where a step's tokens stand: `rows`, `lengths`, `starts`, `document_lengths` (W,), positions (W, T), all int32;
    visible (W, T, T) bool; `places` (W T,) int64: the slots, of all rows' together, that keep their keys and values."""

    rows: Tensor
    lengths: Tensor
    starts: Tensor
    document_lengths: Tensor
    positions: Tensor
    visible: Tensor
    places: Tensor


@dataclass(frozen=True, slots=True)
class DocumentLayer:
    """Keys and values (M, H, D) of one layer, with scales (M,) where they are int8; none has more than `longest`."""

    key: Tensor
    value: Tensor
    key_scale: Tensor | None
    value_scale: Tensor | None
    longest: int


def run_sublayers(stream: Tensor, sublayers: Sequence[Sublayer], last: Tensor, epsilon: float) -> Tensor:
    """The stream (N, C) through sublayers, each behind its norm, and the last norm; in the weights' type."""
    norms = [*(norm for norm, _ in sublayers[1:]), last]
    normed = rms_norm(stream, sublayers[0][0], epsilon, last.dtype)
    for (_, sublayer), norm in zip(sublayers, norms, strict=True):
        stream, normed = add_rms_norm(stream, sublayer(normed), norm, epsilon)
    return normed


class SelfAttention:
    """Of the encoder over documents laid end to end, of the decoder over its slots and the step's tokens."""

    def __init__(self, layer: Attention, bias: Tensor, dtype: torch.dtype) -> None:
        self._inputs = torch.stack([each.weight.T for each in (layer.q, layer.k, layer.v)]).to(dtype).contiguous()
        self._output = layer.o.weight.to(dtype)
        self._heads = (layer.num_heads, layer.head_dim)
        self._bias = bias

    def encode(self, starts: Tensor, longest: int, normed: Tensor) -> Tensor:
        """(N, C) -> (N, C)"""
        query, key, value = self._project(normed, (len(normed),))
        return self._join(attention(query, key, value, starts, self._bias, longest=longest))

    def step(self, layout: StepLayout, past: tuple[Tensor, Tensor], normed: Tensor) -> Tensor:
        """(W T, C) -> (W T, C); the tokens' keys and values are written to `past`, each (R, P, H, D)."""
        query, key, value = self._project(normed, tuple(layout.positions.shape))
        out = decode_self_attention(
            query,
            *past,
            layout.lengths,
            key,
            value,
            layout.positions,
            layout.visible,
            self._bias,
            layout.rows,
        )
        for held, fresh in zip(past, (key, value), strict=True):
            held.flatten(0, 1).index_copy_(0, layout.places, fresh.flatten(0, 1))
        return self._join(out)

    def _project(self, normed: Tensor, leading: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Query, key and value, each (*leading, H, D) and contiguous."""
        projected = torch.bmm(normed[None].expand(3, -1, -1), self._inputs)
        return projected.view(3, *leading, *self._heads).unbind()

    def _join(self, out: Tensor) -> Tensor:
        return F.linear(out.view(-1, self._output.shape[1]), self._output)


class CrossAttention:
    """Of a step's tokens over the documents that their sequences read."""

    def __init__(self, layer: Attention, dtype: torch.dtype) -> None:
        self._query = layer.q.weight.to(dtype)
        self._output = layer.o.weight.to(dtype)
        self._heads = (layer.num_heads, layer.head_dim)

    def step(self, layout: StepLayout, document: DocumentLayer, normed: Tensor) -> Tensor:
        """(W T, C) -> (W T, C)"""
        width = layout.positions.shape[1]
        block = min(width, CROSS_BLOCK)
        query = F.linear(normed, self._query).view(-1, block, *self._heads)
        out = decode_cross_attention(
            query,
            document.key,
            document.value,
            _repeat(layout.starts, width // block),
            _repeat(layout.document_lengths, width // block),
            document.key_scale,
            document.value_scale,
            longest=document.longest,
        )
        return F.linear(out.view(len(normed), -1), self._output)


class FeedForward:
    """wo(gelu(wi_0 x) * wi_1 x), wo(gelu(wi x)) or wo(relu(wi x))."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        if isinstance(layer, GatedFeedForward):
            self._inner, wide = _gated, torch.cat([layer.wi_0.weight, layer.wi_1.weight])
        else:
            assert isinstance(layer, PlainFeedForward)
            self._inner, wide = exact_gelu if layer.activation is F.gelu else torch.relu, layer.wi.weight
        self._inputs = wide.to(dtype)
        self._output = layer.wo.weight.to(dtype)

    def __call__(self, normed: Tensor) -> Tensor:
        """(N, C) -> (N, C)"""
        return F.linear(self._inner(F.linear(normed, self._inputs)), self._output)


def bias_table(bias: RelativePositionBias) -> Tensor:
    """(H, 2 M + 1) float32: each head's number for the distances from -M to M."""
    return bias.weight[bias.buckets].T.float().contiguous()


def _gated(both: Tensor) -> Tensor:
    return gated_gelu(*both.chunk(2, dim=1))


def _repeat(values: Tensor, times: int) -> Tensor:
    """Each value so many times in a row: (W,) -> (W times,)"""
    # Of a single value the expansion is a view with a stride of 0.
    return values if times == 1 else values[:, None].expand(-1, times).reshape(-1).contiguous()
