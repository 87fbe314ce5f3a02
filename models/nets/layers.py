"""The parts of T5 (Raffel et al. 2020, arXiv 1910.10683; v1.1 as in Shazeer 2020, arXiv 2002.05202).

Attribute names are those of the Hugging Face checkpoints (`SelfAttention`, `DenseReluDense`, ...),
so a state dict loads as it is.

Shapes: B batch · T query tokens · S key tokens · H heads · D head dim · C hidden.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qdts.models.nets.config import T5Config


class KeyValue(NamedTuple):
    """Projected keys and values, each (B, H, S, D)."""

    key: Tensor
    value: Tensor

    def append(self, new: "KeyValue") -> "KeyValue":
        """These slots, then the new ones."""
        return KeyValue(torch.cat([self.key, new.key], dim=2), torch.cat([self.value, new.value], dim=2))


class StepLayout(NamedTuple):
    """Where new tokens stand: behind lengths (B,) cached ones, at positions (B, T), each seeing visible (B, T, T)."""

    lengths: Tensor
    positions: Tensor
    visible: Tensor

    @classmethod
    def chain(cls, lengths: Tensor, num_new: int) -> "StepLayout":
        """Each new token follows the one before it."""
        new = torch.arange(num_new, device=lengths.device)
        visible = (new[None, :] <= new[:, None])[None].expand(len(lengths), -1, -1)
        return cls(lengths, lengths[:, None] + new[None], visible)


class RMSNorm(nn.Module):
    """x / rms(x) * weight, computed in float32."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.d_model))
        self.epsilon = config.layer_norm_epsilon

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)"""
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return self.weight * (wide * scale).type_as(x)


class GatedFeedForward(nn.Module):
    """v1.1: wo(gelu(wi_0 x) * wi_1 x)."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        for layer in (self.wi_0, self.wi_1, self.wo):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)"""
        # HF calls this activation "gelu_new": the tanh approximation.
        return self.wo(self.dropout(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x)))


class PlainFeedForward(nn.Module):
    """v1.0: wo(relu(wi x)), or wo(gelu(wi x)) with the exact gelu, as transformers reads `feed_forward_proj`."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.wi = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.activation = F.gelu if config.feed_forward_proj == "gelu" else F.relu
        for layer in (self.wi, self.wo):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)"""
        return self.wo(self.dropout(self.activation(self.wi(x))))


def relative_buckets(config: T5Config, *, bidirectional: bool) -> Tensor:
    """(2 M + 1,) bucket of every distance key - query in [-M, M]; those beyond M share the last one.

    Half of a direction's buckets are one distance each, the rest grow logarithmically up to M.
    """
    limit = config.relative_attention_max_distance
    distance = torch.arange(-limit, limit + 1)
    num_buckets = config.relative_attention_num_buckets // (2 if bidirectional else 1)
    ahead = (distance > 0).long() * num_buckets if bidirectional else torch.zeros_like(distance)
    behind = distance.abs() if bidirectional else (-distance).clamp(min=0)
    num_exact = num_buckets // 2
    growth = torch.log(behind.clamp(min=1).float() / num_exact) / math.log(limit / num_exact)
    wide = num_exact + (growth * (num_buckets - num_exact)).long()
    return ahead + torch.where(behind < num_exact, behind, wide.clamp(max=num_buckets - 1))


class RelativePositionBias(nn.Module):
    """One learned number per head and bucketed distance, added to the attention scores."""

    buckets: Tensor

    def __init__(self, config: T5Config, *, bidirectional: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.relative_attention_num_buckets, config.num_heads))
        self.limit = config.relative_attention_max_distance
        buckets = relative_buckets(config, bidirectional=bidirectional)
        self.register_buffer("buckets", buckets, persistent=False)
        nn.init.normal_(self.weight, std=config.d_model**-0.5)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Positions (B, T) and (B, S) -> bias (B, H, T, S); B is 1 where all rows share positions."""
        distance = keys[:, None, :] - queries[:, :, None]  # (B, T, S)
        bucket = self.buckets[distance.clamp(-self.limit, self.limit) + self.limit]
        return F.embedding(bucket, self.weight).permute(0, 3, 1, 2)  # (B, H, T, S)


class Attention(nn.Module):
    """Multi-head attention without scaling: T5 folds 1/sqrt(D) into the initial q."""

    def __init__(self, config: T5Config, position_bias: RelativePositionBias | None = None) -> None:
        super().__init__()
        self.num_heads, self.head_dim = config.num_heads, config.d_kv
        width = config.num_heads * config.d_kv
        self.q = nn.Linear(config.d_model, width, bias=False)
        self.k = nn.Linear(config.d_model, width, bias=False)
        self.v = nn.Linear(config.d_model, width, bias=False)
        self.o = nn.Linear(width, config.d_model, bias=False)
        # Only the first layer of a stack owns one; the name is the checkpoint's.
        if position_bias is not None:
            self.relative_attention_bias = position_bias
        nn.init.normal_(self.q.weight, std=(config.d_model * config.d_kv) ** -0.5)
        for layer in (self.k, self.v, self.o):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, H D) -> (B, H, T, D)"""
        return x.view(x.shape[0], x.shape[1], self.num_heads, self.head_dim).transpose(1, 2)

    def project(self, memory: Tensor) -> KeyValue:
        """What is attended to: (B, S, C) -> keys and values."""
        return KeyValue(self.split(self.k(memory)), self.split(self.v(memory)))

    def forward(self, x: Tensor, memory: KeyValue, bias: Tensor) -> Tensor:
        """(B, T, C) attends to S slots; bias broadcasts to (B, H, T, S) -> (B, T, C)"""
        # No dropout on the weights: it would cost the fused kernel.
        query = self.split(self.q(x))
        out = F.scaled_dot_product_attention(query, *memory, attn_mask=bias.to(query.dtype), scale=1.0)
        return self.o(out.transpose(1, 2).flatten(2))


def mask_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where the mask is true, the lowest finite number elsewhere: a fully masked row stays finite."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask.bool(), torch.finfo(dtype).min)
