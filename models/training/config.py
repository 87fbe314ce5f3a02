"""What a training run is made of. Parsing belongs to the edge; nothing here touches torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class NetShape:
    """The net's shape where it is built anew."""

    d_model: int = 256
    d_kv: int = 64
    d_ff: int = 768
    num_layers: int = 4
    num_decoder_layers: int = 2
    num_heads: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One run of the loop. Lengths of runs are in steps, so that a run repeats exactly."""

    # tokenizer.json, lexicon.safetensors and, to start from, embeddings.safetensors
    model: Path
    data: tuple[Path, ...]
    # How many times each of `data` is read for one reading of the whole mixture.
    shares: tuple[float, ...]
    out: Path
    # A model directory whose net is trained on; None builds one of `shape`.
    start_from: Path | None = None
    shape: NetShape = field(default_factory=NetShape)
    num_steps: int = 1000
    warmup_steps: int = 100
    # The last part of the run in which the rate falls linearly to nothing.
    decay_share: float = 0.3
    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 2e-3
    embedding_rate: float = 2e-3
    weight_decay: float = 0.01
    tokens_per_batch: int = 6144
    # The share of examples whose encoder input leaves the query out (indexed mode).
    indexed_share: float = 0.25
    # The share of examples whose markers are renumbered by a random shift: long documents are rare, and every
    # marker must learn to be chosen.
    shifted_share: float = 0.5
    # Loss weights: choosing a sentence and where to stop is what the copy constraint leaves to the net.
    marker_weight: float = 4.0
    end_weight: float = 2.0
    copied_weight: float = 0.5
    # Copied tokens are many and easy: the loss looks at this share of them.
    copied_share: float = 0.3
    dropout: float = 0.0
    seed: int = 0
    num_threads: int = 2
    checkpoint_minutes: float = 5.0
    log_every: int = 20

    def __post_init__(self) -> None:
        if len(self.data) != len(self.shares) or not self.data:
            raise ValueError(f"shares must name one number per data set: {len(self.shares)} for {len(self.data)}")
        for name in ("num_steps", "tokens_per_batch", "num_threads", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, is {getattr(self, name)}")
        for name in ("decay_share", "indexed_share", "shifted_share", "copied_share", "dropout"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], is {getattr(self, name)}")

    def rate_at(self, step: int) -> float:
        """The factor on both rates at `step`: linear warm-up, flat, linear decay."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        left = (self.num_steps - step) / max(1.0, self.decay_share * self.num_steps)
        return min(warm, 1.0, left)
