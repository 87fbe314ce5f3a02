"""T5: an encoder read once per document, a decoder read once per step. State-dict names are Hugging Face's.

Knows nothing of text, files or decoding loops.
Shapes: B batch · S document tokens · T decoder tokens of this call · P cached slots · C hidden · V words.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qdts.models.nets.config import T5Config
from qdts.models.nets.interaction import Interaction
from qdts.models.nets.layers import (
    Attention,
    GatedFeedForward,
    KeyValue,
    PlainFeedForward,
    RelativePositionBias,
    RMSNorm,
    StepLayout,
    mask_bias,
)


class SelfAttentionLayer(nn.Module):
    """x + attention(norm x), over cached slots and the new tokens."""

    def __init__(self, config: T5Config, position_bias: RelativePositionBias | None) -> None:
        super().__init__()
        self.SelfAttention = Attention(config, position_bias)
        self.layer_norm = RMSNorm(config)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor, bias: Tensor, past: KeyValue | None = None) -> tuple[Tensor, KeyValue]:
        """(B, T, C) -> (B, T, C) and the keys and values of these T tokens"""
        normed = self.layer_norm(x)
        new = self.SelfAttention.project(normed)
        memory = new if past is None else past.append(new)
        return x + self.dropout(self.SelfAttention(normed, memory, bias)), new


class CrossAttentionLayer(nn.Module):
    """x + attention(norm x) over the document's keys and values."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.EncDecAttention = Attention(config)
        self.layer_norm = RMSNorm(config)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor, document: KeyValue, bias: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)"""
        return x + self.dropout(self.EncDecAttention(self.layer_norm(x), document, bias))


class FeedForwardLayer(nn.Module):
    """x + feed_forward(norm x)."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        gated = config.feed_forward_proj == "gated-gelu"
        self.DenseReluDense = GatedFeedForward(config) if gated else PlainFeedForward(config)
        self.layer_norm = RMSNorm(config)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)"""
        return x + self.dropout(self.DenseReluDense(self.layer_norm(x)))


class EncoderBlock(nn.Module):
    """Self-attention, feed-forward."""

    def __init__(self, config: T5Config, position_bias: RelativePositionBias | None) -> None:
        super().__init__()
        self.layer = nn.ModuleList([SelfAttentionLayer(config, position_bias), FeedForwardLayer(config)])

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """(B, S, C) -> (B, S, C)"""
        attention, feed_forward = self.layer
        return feed_forward(attention(x, bias)[0])


class DecoderBlock(nn.Module):
    """Self-attention, cross-attention, feed-forward."""

    def __init__(self, config: T5Config, position_bias: RelativePositionBias | None) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            [SelfAttentionLayer(config, position_bias), CrossAttentionLayer(config), FeedForwardLayer(config)]
        )

    def project(self, hidden: Tensor) -> KeyValue:
        """The document's keys and values for this block, from the encoder's output (B, S, C)."""
        return cast(CrossAttentionLayer, self.layer[1]).EncDecAttention.project(hidden)

    def forward(
        self, x: Tensor, biases: tuple[Tensor, Tensor], document: KeyValue, past: KeyValue | None
    ) -> tuple[Tensor, KeyValue]:
        """(B, T, C) -> (B, T, C) and the keys and values of these T tokens; biases: self, cross"""
        self_attention, cross_attention, feed_forward = self.layer
        x, new = self_attention(x, biases[0], past)
        return feed_forward(cross_attention(x, document, biases[1])), new


def stack_bias(blocks: nn.ModuleList) -> RelativePositionBias:
    """The position bias of a stack: T5 keeps it in the first block and all blocks share it."""
    first = cast(EncoderBlock | DecoderBlock, blocks[0])
    return cast(SelfAttentionLayer, first.layer[0]).SelfAttention.relative_attention_bias


class Encoder(nn.Module):
    """Bidirectional over the document."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        first = RelativePositionBias(config, bidirectional=True)
        biases = [first, *[None] * (config.num_layers - 1)]
        self.block = nn.ModuleList([EncoderBlock(config, bias) for bias in biases])
        self.final_layer_norm = RMSNorm(config)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Embeddings (B, S, C), mask (B, S) true at real tokens -> (B, S, C)"""
        positions = torch.arange(x.shape[1], device=x.device)[None]
        position_bias = stack_bias(self.block)(positions, positions)
        bias = position_bias + mask_bias(mask, position_bias.dtype)[:, None, None, :]  # (B, H, S, S)
        x = self.dropout(x)
        for block in self.block:
            x = block(x, bias)
        return self.dropout(self.final_layer_norm(x))


class Decoder(nn.Module):
    """Causal over its own tokens, reading the document's projected keys and values."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        first = RelativePositionBias(config, bidirectional=False)
        biases = [first, *[None] * (config.num_decoder_layers - 1)]
        self.block = nn.ModuleList([DecoderBlock(config, bias) for bias in biases])
        self.final_layer_norm = RMSNorm(config)
        self.dropout = nn.Dropout(config.dropout_rate)

    def causal_bias(self, num_tokens: int, device: torch.device) -> Tensor:
        """Bias (1, H, T, T) of a whole sequence."""
        positions = torch.arange(num_tokens, device=device)[None]
        bias = stack_bias(self.block)(positions, positions)
        return bias + mask_bias(positions[:, None, :] <= positions[:, :, None], bias.dtype)[:, None]

    def step_bias(self, lengths: Tensor, positions: Tensor, visible: Tensor, num_slots: int) -> Tensor:
        """Bias (B, H, T, P + T) for new tokens after lengths (B,) tokens held in P slots.

        They stand at positions (B, T) and see of one another what visible (B, T, T) says. A row shorter than P has
        unused slots: masked.
        """
        slots = torch.arange(num_slots, device=lengths.device)[None].expand(lengths.shape[0], -1)
        bias = stack_bias(self.block)(positions, torch.cat([slots, positions], dim=1))
        used = (slots < lengths[:, None])[:, None, :].expand(-1, positions.shape[1], -1)  # (B, T, P)
        return bias + mask_bias(torch.cat([used, visible], dim=2), bias.dtype)[:, None]

    def project(self, hidden: Tensor) -> list[KeyValue]:
        """The document's keys and values per layer, from the encoder's output (B, S, C)."""
        return [cast(DecoderBlock, block).project(hidden) for block in self.block]

    def forward(
        self,
        x: Tensor,
        self_bias: Tensor,
        mask: Tensor,
        document: Sequence[KeyValue],
        past: Sequence[KeyValue] | None = None,
    ) -> tuple[Tensor, list[KeyValue]]:
        """Embeddings (B, T, C) -> (B, T, C) and per layer the keys and values of these T tokens"""
        biases = (self_bias, mask_bias(mask, self_bias.dtype)[:, None, None, :])
        x = self.dropout(x)
        new: list[KeyValue] = []
        for index, block in enumerate(self.block):
            x, projected = block(x, biases, document[index], None if past is None else past[index])
            new.append(projected)
        return self.dropout(self.final_layer_norm(x)), new


class T5(nn.Module):
    """The whole network. Masks are true (or 1) at real tokens."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        nn.init.normal_(self.shared.weight, std=1.0)
        if config.num_features:
            self.interaction = Interaction(config.num_features, config.d_model)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
            nn.init.normal_(self.lm_head.weight, std=config.d_model**-0.5)

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, S) -> (B, S, C)"""
        return self.encoder(self.shared(ids), mask)

    def interact(self, hidden: Tensor, features: Tensor | None) -> Tensor:
        """Add the projected features (B, S, F) to the encoder's output (B, S, C); without any, as it was."""
        if self.config.num_features == 0 or features is None:
            return hidden
        return self.interaction(hidden, features)

    def decode(self, tokens: Tensor, hidden: Tensor, mask: Tensor) -> Tensor:
        """Teacher-forced: (B, T) reading (B, S, C) under (B, S) -> (B, T, C). Trailing padding is fine."""
        bias = self.decoder.causal_bias(tokens.shape[1], tokens.device)
        return self.decoder(self.shared(tokens), bias, mask, self.decoder.project(hidden))[0]

    def step(
        self,
        tokens: Tensor,
        layout: StepLayout,
        mask: Tensor,
        document: Sequence[KeyValue],
        past: Sequence[KeyValue],
    ) -> tuple[Tensor, list[KeyValue]]:
        """T new tokens (B, T) per row after those in its cache -> (B, T, C) and their keys and values.

        `document` is `decoder.project(hidden)`; `past` holds P >= max(lengths) slots per row.
        """
        bias = self.decoder.step_bias(*layout, past[0].key.shape[2])
        return self.decoder(self.shared(tokens), bias, mask, document, past)

    def logits(self, hidden: Tensor, ids: Tensor | None = None) -> Tensor:
        """(..., C) -> (..., V), or (..., len(ids)), on demand: training asks for target positions only."""
        tied = self.config.tie_word_embeddings
        weight = self.shared.weight if tied else self.lm_head.weight
        scale = self.config.d_model**-0.5 if tied else 1.0
        return F.linear(hidden * scale, weight if ids is None else weight[ids])
