"""Nets of equal size, started alike.

Equal means: all numbers outside the token embeddings, position tables included, are as many as in the base net, within
a few per cent. The feed-forward's width is what gives: it is chosen for each variant.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from qdts.errors import ConfigError
from qdts.loadtest.ablation.variants import Variant
from qdts.models.lexicon import Lexicon
from qdts.models.nets.config import T5Config
from qdts.models.nets.decoder_only import DecoderOnly, DecoderOnlyConfig
from qdts.models.nets.t5 import T5
from qdts.models.tokenizer import SPECIAL_TOKENS

_STEP = 8  # widths are multiples of it
TOLERANCE = 0.05
Config = T5Config | DecoderOnlyConfig
Net = T5 | DecoderOnly


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large all nets are: `d_ff` is that of the base net."""

    d_model: int = 128
    d_ff: int = 384
    num_heads: int = 4
    max_positions: int = 512

    def __post_init__(self) -> None:
        for name in ("d_model", "d_ff", "num_heads", "max_positions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, is {getattr(self, name)}")
        if self.d_model % self.num_heads:
            raise ConfigError(f"d_model must be a multiple of num_heads {self.num_heads}, is {self.d_model}")


def base_config(scale: Scale, base: Variant) -> Config:
    """The net the others are made equal to."""
    return _config(base, scale, scale.d_ff)


def equal_config(variant: Variant, scale: Scale, base: Variant) -> Config:
    """The variant's shape, as wide in the feed-forward as gives it the base net's number of inner parameters."""
    target = inner_parameters(replace_vocabulary(base_config(scale, base)))
    thin, wide = (inner_parameters(replace_vocabulary(_config(variant, scale, n * _STEP))) for n in (1, 2))
    num_steps = 1 + (target - thin) / (wide - thin)
    config = _config(variant, scale, _STEP * max(1, round(num_steps)))
    found = inner_parameters(replace_vocabulary(config))
    if abs(found - target) > TOLERANCE * target:
        raise ConfigError(f"{variant.name}: {found} inner parameters at best, wanted {target} within {TOLERANCE:.0%}")
    return config


def replace_vocabulary(config: Config) -> Config:
    """The same shape with hardly any words: quick to build, for counting what lies inside."""
    return replace(config, vocab_size=8)


def _config(variant: Variant, scale: Scale, d_ff: int) -> Config:
    if variant.family == "decoder_only":
        return DecoderOnlyConfig(
            vocab_size=variant.vocab_size,
            d_model=scale.d_model,
            d_ff=d_ff,
            num_layers=variant.num_decoder_layers,
            num_heads=scale.num_heads,
            max_positions=scale.max_positions,
            num_features=variant.num_features,
        )
    return T5Config(
        vocab_size=variant.vocab_size,
        d_model=scale.d_model,
        d_kv=scale.d_model // scale.num_heads,
        d_ff=d_ff,
        num_layers=variant.num_layers,
        num_decoder_layers=variant.num_decoder_layers,
        num_heads=scale.num_heads,
        num_features=variant.num_features,
        dropout_rate=0.0,
    )


def _build(config: Config) -> Net:
    return T5(config) if isinstance(config, T5Config) else DecoderOnly(config)


def inner_parameters(config: Config) -> int:
    """Trained numbers outside the token embeddings."""
    with torch.device("meta"):
        return count_parameters(_build(config)) - config.vocab_size * config.d_model


def count_parameters(net: nn.Module) -> int:
    """Trained numbers, tied ones once."""
    return sum(parameter.numel() for parameter in net.parameters())


def make_net(config: Config, lexicon: Lexicon, seed: int) -> Net:
    """Seeded; the embeddings start from the lexicon's vectors, as loud as the shape has them.

    The leading columns of one are those of the other, whichever is wider.
    """
    torch.manual_seed(seed)
    net = _build(config)
    weight = net.shared.weight
    rows = np.arange(len(SPECIAL_TOKENS), config.vocab_size)
    vectors = torch.from_numpy(lexicon.unit_vectors(rows))[:, : config.d_model]
    with torch.no_grad():
        loudness = weight.std() / vectors.square().mean().sqrt()
        weight[len(SPECIAL_TOKENS) :, : vectors.shape[1]] = vectors * loudness
    return net
