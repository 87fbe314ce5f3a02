"""The specification: every operation in plain PyTorch, computed in float32, rounded to the inputs' type at the end.

Read it to know what a kernel computes, test kernels against it; it is not meant to be fast.

Shapes: N tokens of all documents · B documents or sequences · T tokens of a step · P cached slots · H heads · D head
dim · M largest distance with a bias of its own · R rows · C hidden · V vocabulary · K permitted ids · F inner width.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class AddedNorm(NamedTuple):
    """The residual stream after an addition, and its norm, which may have fewer bits; both (R, C)."""

    stream: Tensor
    normed: Tensor


def attention(query: Tensor, key: Tensor, value: Tensor, starts: Tensor, bias: Tensor) -> Tensor:
    """Each document's tokens attend to all of that document: (N, H, D) -> (N, H, D); bias (H, 2 M + 1)."""
    out = torch.empty_like(query)
    for first, last in pairwise(_ints(starts)):
        positions = torch.arange(last - first, device=query.device)
        own = slice(first, last)
        out[own] = _attend(query[own], key[own], value[own], _distance_bias(bias, positions, positions))
    return out


def decode_self_attention(
    query: Tensor,
    past_key: Tensor,
    past_value: Tensor,
    lengths: Tensor,
    new_key: Tensor,
    new_value: Tensor,
    positions: Tensor,
    visible: Tensor,
    bias: Tensor,
    rows: Tensor | None = None,
) -> Tensor:
    """New tokens (B, T, H, D) attend to the first lengths (B,) of past slots (R, P, H, D) and to visible new ones.

    Sequence b's slots are those of rows[b], or b. Slot p stands at position p, new tokens at positions (B, T); visible
    (B, T, T): token t sees new token u.
    """
    out = torch.empty_like(query)
    held = range(len(query)) if rows is None else _ints(rows)
    for row, (past, length) in enumerate(zip(held, _ints(lengths), strict=True)):
        slots = torch.arange(length, device=query.device)
        key = torch.cat([past_key[past, :length], new_key[row]])  # (P + T, H, D)
        value = torch.cat([past_value[past, :length], new_value[row]])
        scores_bias = _distance_bias(bias, positions[row], torch.cat([slots, positions[row]]))
        seen = torch.cat([visible.new_ones(len(positions[row]), length), visible[row]], dim=1)  # (T, P + T)
        out[row] = _attend(query[row], key, value, scores_bias.masked_fill(~seen, float("-inf")))
    return out


def decode_cross_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    lengths: Tensor,
    key_scale: Tensor | None = None,
    value_scale: Tensor | None = None,
) -> Tensor:
    """Tokens (B, T, H, D) attend to the lengths[b] entries from starts[b] of keys and values (N, H, D).

    Where those are int8, entry n is worth key_scale[n] and value_scale[n] times what is stored.
    """
    keys, values = _dequantize(key, key_scale), _dequantize(value, value_scale)
    out = torch.empty_like(query)
    for row, (start, length) in enumerate(zip(_ints(starts), _ints(lengths), strict=True)):
        own = slice(start, start + length)
        out[row] = _attend(query[row], keys[own], values[own], keys.new_zeros(1, 1, 1))
    return out


def quantize_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, H, D) -> int8 (N, H, D) and float32 scales (N,): 127 steps up to each token's largest magnitude."""
    scale = x.float().flatten(1).abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return (x.float() / scale[:, None, None]).round().to(torch.int8), scale


def project_argmax(hidden: Tensor, weight: Tensor, scale: float) -> Tensor:
    """The id of the highest score, the lowest id among equals: (R, C) and (V, C) -> (R,) int64."""
    scores = hidden.float() @ weight.float().T * scale  # (R, V)
    return (scores == scores.amax(1, keepdim=True)).int().argmax(1)


def project_permitted(
    hidden: Tensor, weight: Tensor, scale: float, permitted: Tensor, counts: Tensor, end: int
) -> Tensor:
    """The choice of each row among the first counts[r] of permitted[r] (R, K) -> (R,) int64.

    `end`, where permitted, is chosen if it is the only one or its score is at least the log-sum-exp of the others'.
    Else the highest of the others, the lowest id among equals.
    """
    chosen = torch.empty(len(hidden), dtype=torch.int64, device=hidden.device)
    for row, count in enumerate(_ints(counts)):
        ids = permitted[row, :count].long()
        scores = weight[ids].float() @ hidden[row].float() * scale  # (count,)
        others = ids != end
        if not others.any() or (scores[~others] >= scores[others].logsumexp(0)).any():
            chosen[row] = end
        else:
            best = scores[others] == scores[others].max()
            chosen[row] = ids[others][best].min()
    return chosen


def rms_norm(x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype | None = None) -> Tensor:
    """x / rms(x) * weight in `dtype`, by default that of x, to which the quotient is rounded before it is weighted, as
    T5 does: (R, C)."""
    dtype = dtype or x.dtype
    scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + epsilon)
    return ((x.float() * scale).to(dtype).float() * weight.float()).to(dtype)


def add_rms_norm(stream: Tensor, update: Tensor, weight: Tensor, epsilon: float) -> AddedNorm:
    """The residual stream (R, C) after the update (R, C), in the stream's type, and its norm, in the update's."""
    added = (stream.float() + update.float()).to(stream.dtype)
    return AddedNorm(added, rms_norm(added, weight, epsilon, update.dtype))


def gated_gelu(gate: Tensor, linear: Tensor) -> Tensor:
    """gelu(gate) * linear, with the tanh approximation that Hugging Face calls gelu_new: (R, F)."""
    return (F.gelu(gate.float(), approximate="tanh") * linear.float()).to(gate.dtype)


def exact_gelu(x: Tensor) -> Tensor:
    """x times the normal distribution's share below x: (R, F)."""
    return F.gelu(x.float()).to(x.dtype)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """(T, H, D), (S, H, D), (S, H, D), bias broadcast to (H, T, S) -> (T, H, D)"""
    scores = torch.einsum("thd,shd->hts", query.float(), key.float()) + bias
    return torch.einsum("hts,shd->thd", scores.softmax(-1), value.float()).to(query.dtype)


def _distance_bias(bias: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """Table (H, 2 M + 1) at positions (T,) and (S,) -> (H, T, S)"""
    limit = bias.shape[1] // 2
    distance = keys[None, :].long() - queries[:, None].long()
    return bias[:, distance.clamp(-limit, limit) + limit].float()


def _dequantize(x: Tensor, scale: Tensor | None) -> Tensor:
    return x.float() if scale is None else x.float() * scale[:, None, None]


def _ints(x: Tensor) -> list[int]:
    return [int(number) for number in x.cpu()]
