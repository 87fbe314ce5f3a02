"""What the ablation compares, as data: each variant differs from `base` in one thing, or says in what.

Names of depths are encoder+decoder layers: 6+1, 5+2, 4+2 and 3+3 stand in for 12+2, 10+3, 8+4 and 6+6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qdts.errors import ConfigError
from qdts.models.interaction import NUM_TEXT_FEATURES
from qdts.models.prompt import Mode

BOTH_MODES: tuple[Mode, ...] = ("joint", "indexed")
BASE = "base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row of the table. Layers of a decoder-only net are all decoder layers."""

    name: str
    group: str
    family: Literal["encoder_decoder", "decoder_only"] = "encoder_decoder"
    num_layers: int = 5
    num_decoder_layers: int = 2
    # The share of training examples whose encoder input leaves the query out.
    indexed_share: float = 0.5
    modes: tuple[Mode, ...] = BOTH_MODES
    num_features: int = NUM_TEXT_FEATURES
    num_hints: int = 3
    vocab_size: int = 16384
    embedding_rate: float = 2e-3

    def __post_init__(self) -> None:
        if self.family == "decoder_only" and (self.num_layers or self.indexed_share):
            raise ConfigError(f"{self.name}: num_layers and indexed_share must be 0 in a decoder-only net")
        if not 0 <= self.indexed_share <= 1:
            raise ConfigError(f"{self.name}: indexed_share must lie in [0, 1], is {self.indexed_share}")
        if not self.modes:
            raise ConfigError(f"{self.name}: modes must name at least one mode")


def _decoder_only(name: str, *, num_features: int, num_hints: int) -> Variant:
    """As many layers as make the feed-forward about 4 times as wide as the rest, which is GPT-2's proportion."""
    return Variant(
        name=name,
        group="shape",
        family="decoder_only",
        num_layers=0,
        num_decoder_layers=8,
        indexed_share=0.0,
        modes=("joint",),
        num_features=num_features,
        num_hints=num_hints,
    )


VARIANTS = (
    Variant(name=BASE, group="base"),
    Variant(name="joint_only", group="objective", indexed_share=0.0),
    Variant(name="indexed_only", group="objective", indexed_share=1.0),
    Variant(name="6+1", group="depth", num_layers=6, num_decoder_layers=1),
    Variant(name="4+2", group="depth", num_layers=4, num_decoder_layers=2),
    Variant(name="3+3", group="depth", num_layers=3, num_decoder_layers=3),
    Variant(name="no_features", group="aids", num_features=0),
    Variant(name="no_hints", group="aids", num_hints=0),
    # The twins: what an encoder-decoder and a decoder-only net make of the same bare prompts, and of the aided ones.
    Variant(name="plain_joint", group="shape", indexed_share=0.0, num_features=0, num_hints=0),
    _decoder_only("decoder_only_plain", num_features=0, num_hints=0),
    _decoder_only("decoder_only_aided", num_features=NUM_TEXT_FEATURES, num_hints=3),
    Variant(name="vocab_8k", group="vocabulary", vocab_size=8192),
    Variant(name="vocab_24k", group="vocabulary", vocab_size=24576),
)


def choose_variants(names: Sequence[str]) -> list[Variant]:
    """Those named, all if none is; ConfigError for a name that is none."""
    known = {variant.name: variant for variant in VARIANTS}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"variants: {unknown[0]!r} is not one of {', '.join(known)}")
    return [known[name] for name in names] if names else list(VARIANTS)
