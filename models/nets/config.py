"""The shape of a T5 network. No torch: read from and written to a Hugging Face config.json."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

_ACTIVATIONS = ("gated-gelu", "gelu", "relu")
_POSITIVE = ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads")
# What transformers needs beside the shape; the ids are T5's own.
_HF_FIELDS: dict[str, Any] = {
    "architectures": ["T5ForConditionalGeneration"],
    "model_type": "t5",
    "is_encoder_decoder": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class T5Config:
    """T5 v1.0 (`relu`, or BERT's `gelu`) or v1.1 (`gated-gelu`). `num_features` > 0 adds our interaction features."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_decoder_layers: int
    num_heads: int
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    tie_word_embeddings: bool = True
    feed_forward_proj: Literal["gated-gelu", "gelu", "relu"] = "gated-gelu"
    dropout_rate: float = 0.1  # in training only
    num_features: int = 0

    def __post_init__(self) -> None:
        for name in (*_POSITIVE, "num_decoder_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.feed_forward_proj not in _ACTIVATIONS:
            raise ValueError(f"feed_forward_proj is {self.feed_forward_proj!r}; known: {', '.join(_ACTIVATIONS)}")
        if not 0 <= self.dropout_rate < 1:
            raise ValueError(f"dropout_rate is {self.dropout_rate}; it must be in [0, 1)")
        if self.num_features < 0:
            raise ValueError(f"num_features is {self.num_features}; it must be at least 0")
        self._check_buckets()

    def _check_buckets(self) -> None:
        buckets, distance = self.relative_attention_num_buckets, self.relative_attention_max_distance
        if buckets < 4 or buckets % 4:
            raise ValueError(f"relative_attention_num_buckets is {buckets}; it must be a multiple of 4")
        if distance <= buckets // 2:
            raise ValueError(
                f"relative_attention_max_distance is {distance}; it must exceed half of the {buckets} buckets"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read an HF config.json; keys that only transformers uses are left out."""
        known = {field.name for field in fields(cls)}
        chosen = {name: value for name, value in values.items() if name in known and value is not None}
        # HF's own defaults where its config.json may be silent.
        chosen.setdefault("num_decoder_layers", chosen.get("num_layers"))
        chosen.setdefault("feed_forward_proj", "relu")
        missing = sorted(name for name in _POSITIVE if name not in chosen)
        if missing:
            raise ValueError(f"config.json lacks {', '.join(missing)}")
        return cls(**chosen)

    def to_dict(self) -> dict[str, Any]:
        """What transformers reads back as a T5Config."""
        return _HF_FIELDS | asdict(self)
