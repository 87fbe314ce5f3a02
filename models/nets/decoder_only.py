"""A decoder-only net in GPT-2's shape (Radford et al. 2019): query and document pass all layers for every request.

The shape of the seed paper (arXiv 2508.20559), kept as the baseline to beat: learned absolute positions, LayerNorm with
bias before each sub-layer, GELU, tied embeddings. Query, key and value are matrices of their own, as in t5.py;
`to_gpt2` fuses them into transformers' names. Knows nothing of text, files or decoding loops.
Shapes: B batch · T tokens of this call · P cached slots · C hidden · H heads · D head dim · V words · F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qdts.models.nets.interaction import HIDDEN, Interaction
from qdts.models.nets.layers import KeyValue, StepLayout, mask_bias

_INIT_STD = 0.02  # GPT-2's; its output projections start smaller by the square root of their number
_POSITIVE = ("vocab_size", "d_model", "d_ff", "num_layers", "num_heads", "max_positions")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderOnlyConfig:
    """The defaults are the seed's shape. `num_features` > 0 adds the interaction features to the embeddings (ours)."""

    vocab_size: int
    d_model: int = 768
    d_ff: int = 3072
    num_layers: int = 12
    num_heads: int = 12
    max_positions: int = 1024
    layer_norm_epsilon: float = 1e-5
    dropout_rate: float = 0.0  # in training only
    num_features: int = 0

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, is {getattr(self, name)}")
        if self.d_model % self.num_heads:
            raise ValueError(f"d_model must be a multiple of num_heads {self.num_heads}, is {self.d_model}")
        if not 0 <= self.dropout_rate < 1:
            raise ValueError(f"dropout_rate must lie in [0, 1), is {self.dropout_rate}")
        if self.num_features < 0:
            raise ValueError(f"num_features must be at least 0, is {self.num_features}")


class CausalAttention(nn.Module):
    """Multi-head attention over cached slots and the new tokens, scaled by 1 / sqrt(D)."""

    def __init__(self, config: DecoderOnlyConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.q = _linear(config.d_model, config.d_model)
        self.k = _linear(config.d_model, config.d_model)
        self.v = _linear(config.d_model, config.d_model)
        self.o = _linear(config.d_model, config.d_model, num_residual=2 * config.num_layers)

    def forward(self, x: Tensor, past: KeyValue | None, bias: Tensor | None) -> tuple[Tensor, KeyValue]:
        """(B, T, C), bias (B, 1, T, P + T) or None for plain causal -> (B, T, C) and these tokens' keys, values"""
        new = KeyValue(self._split(self.k(x)), self._split(self.v(x)))
        memory = new if past is None else past.append(new)
        query = self._split(self.q(x))
        out = F.scaled_dot_product_attention(query, *memory, attn_mask=bias, is_causal=bias is None)
        return self.o(out.transpose(1, 2).flatten(2)), new

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.num_heads, -1).transpose(1, 2)  # (B, H, T, D)


class Block(nn.Module):
    """x + attention(norm x), then x + feed_forward(norm x)."""

    def __init__(self, config: DecoderOnlyConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.attention = CausalAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.wi = _linear(config.d_model, config.d_ff)
        self.wo = _linear(config.d_ff, config.d_model, num_residual=2 * config.num_layers)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor, past: KeyValue | None, bias: Tensor | None) -> tuple[Tensor, KeyValue]:
        """(B, T, C) -> (B, T, C) and the keys and values of these T tokens"""
        attended, new = self.attention(self.attention_norm(x), past, bias)
        x = x + self.dropout(attended)
        # "gelu_new": the tanh approximation.
        widened = F.gelu(self.wi(self.feed_forward_norm(x)), approximate="tanh")
        return x + self.dropout(self.wo(widened)), new


class Stack(nn.Module):
    """Positions, blocks, final norm."""

    def __init__(self, config: DecoderOnlyConfig) -> None:
        super().__init__()
        self.positions = nn.Embedding(config.max_positions, config.d_model)
        self.block = nn.ModuleList([Block(config) for _ in range(config.num_layers)])
        self.final_norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)
        nn.init.normal_(self.positions.weight, std=_INIT_STD)

    def forward(
        self, x: Tensor, positions: Tensor, past: Sequence[KeyValue] | None, bias: Tensor | None
    ) -> tuple[Tensor, list[KeyValue]]:
        """(B, T, C) at positions (B, T) or (1, T) -> (B, T, C) and per layer the keys and values of these T tokens"""
        x = self.dropout(x + self.positions(positions))
        new: list[KeyValue] = []
        for index, block in enumerate(self.block):
            x, projected = block(x, None if past is None else past[index], bias)
            new.append(projected)
        return self.final_norm(x), new


class DecoderOnly(nn.Module):
    """The whole network. Rows are padded at their ends, which a causal net never looks at."""

    def __init__(self, config: DecoderOnlyConfig) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.decoder = Stack(config)
        nn.init.normal_(self.shared.weight, std=_INIT_STD)
        if config.num_features:
            self.interaction = Interaction(config.num_features, config.d_model)
            # As quiet as the embeddings they are added to.
            nn.init.normal_(self.interaction.wo.weight, std=_INIT_STD * HIDDEN**-0.5)

    def embed(self, tokens: Tensor) -> Tensor:
        """(..., T) -> (..., T, C), positions not yet added"""
        return self.shared(tokens)

    def interact(self, embedded: Tensor, features: Tensor | None) -> Tensor:
        """Add the projected features (..., T, F) to the embeddings (..., T, C); without any, as they were."""
        if self.config.num_features == 0 or features is None:
            return embedded
        return self.interaction(embedded, features)

    def forward(self, embedded: Tensor) -> tuple[Tensor, list[KeyValue]]:
        """Whole sequences from their embeddings (B, T, C) -> (B, T, C) and per layer their keys and values"""
        positions = torch.arange(embedded.shape[1], device=embedded.device)[None]
        return self.decoder(embedded, positions, None, None)

    def step(self, embedded: Tensor, layout: StepLayout, past: Sequence[KeyValue]) -> tuple[Tensor, list[KeyValue]]:
        """T new tokens (B, T, C) per row after those in its cache -> (B, T, C) and their keys and values.

        `past` holds P >= max(lengths) slots per row; a shorter row's unused slots are masked.
        """
        slots = torch.arange(past[0].key.shape[2], device=embedded.device)
        used = (slots[None] < layout.lengths[:, None])[:, None, :].expand(-1, embedded.shape[1], -1)  # (B, T, P)
        bias = mask_bias(torch.cat([used, layout.visible], dim=2), embedded.dtype)[:, None]  # (B, 1, T, P + T)
        return self.decoder(embedded, layout.positions, past, bias)

    def logits(self, hidden: Tensor, ids: Tensor | None = None) -> Tensor:
        """(..., C) -> (..., V), or (..., len(ids)), on demand: training asks for target positions only."""
        return F.linear(hidden, self.shared.weight if ids is None else self.shared.weight[ids])


def forward_flops(config: DecoderOnlyConfig, num_tokens: int, num_logits: int | None = None) -> float:
    """Matrix products of one sequence (2 per multiply-add); logits at `num_logits` positions, None: at all.

    Causal attention counts in full, as for the encoder-decoder (flops.py); features are left out.
    """
    layer = 4 * config.d_model**2 + 2 * config.d_model * config.d_ff
    attention = 2 * num_tokens**2 * config.d_model
    logits = (num_tokens if num_logits is None else num_logits) * config.d_model * config.vocab_size
    return 2.0 * (config.num_layers * (num_tokens * layer + attention) + logits)


def _linear(num_in: int, num_out: int, num_residual: int = 1) -> nn.Linear:
    layer = nn.Linear(num_in, num_out)
    nn.init.normal_(layer.weight, std=_INIT_STD * num_residual**-0.5)
    nn.init.zeros_(layer.bias)
    return layer


# Our names inside a block and transformers', which keep matrices (in, out).
_GPT2_BLOCK = {
    "attention_norm": "ln_1",
    "attention.o": "attn.c_proj",
    "feed_forward_norm": "ln_2",
    "wi": "mlp.c_fc",
    "wo": "mlp.c_proj",
}


def to_gpt2(state: Mapping[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """A state dict of ours under the names of transformers' GPT2LMHeadModel. Refuses interaction features.

    q, k and v lie side by side in c_attn; matrices are transposed; lm_head is the tied embedding.
    """
    if any(name.startswith("interaction.") for name in state):
        raise ValueError("num_features must be 0: GPT-2 has no place for interaction features")
    renamed = {
        "transformer.wte.weight": state["shared.weight"],
        "transformer.wpe.weight": state["decoder.positions.weight"],
        "lm_head.weight": state["shared.weight"],
    }
    for kind in ("weight", "bias"):
        renamed[f"transformer.ln_f.{kind}"] = state[f"decoder.final_norm.{kind}"]
        for index in range(num_layers):
            ours, theirs = f"decoder.block.{index}", f"transformer.h.{index}"
            fused = torch.cat([state[f"{ours}.attention.{part}.{kind}"] for part in "qkv"])
            renamed[f"{theirs}.attn.c_attn.{kind}"] = fused.T if kind == "weight" else fused
            for name, theirs_name in _GPT2_BLOCK.items():
                tensor = state[f"{ours}.{name}.{kind}"]
                renamed[f"{theirs}.{theirs_name}.{kind}"] = tensor.T if tensor.ndim == 2 else tensor
    return renamed
