"""What a training run is made of. Parsing belongs to the edge; nothing here touches torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from qdts.models.interaction import NUM_FEATURES, NUM_TEXT_FEATURES

_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


def check_at_least(config: Any, bound: float, names: Sequence[str]) -> None:
    """ValueError naming the first of the fields `names` whose value is below `bound`; None passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= bound:
            raise ValueError(f"{name} must be at least {bound}, is {value}")


def check_positive(config: Any, names: Sequence[str]) -> None:
    """ValueError naming the first of the fields `names` whose value is not above 0; None passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be above 0, is {value}")


def check_shares(config: Any, names: Sequence[str]) -> None:
    """ValueError naming the first of the fields `names` whose value lies outside [0, 1]."""
    for name in names:
        if not 0.0 <= getattr(config, name) <= 1.0:
            raise ValueError(f"{name} must lie in [0, 1], is {getattr(config, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetShape:
    """The net's shape where it is built anew."""

    d_model: int = 256
    d_kv: int = 64
    d_ff: int = 768
    num_layers: int = 4
    num_decoder_layers: int = 2
    num_heads: int = 4
    # Interaction features added to the encoder's output: all of them, those of the text, or 0 for a plain T5.
    num_features: int = NUM_FEATURES

    def __post_init__(self) -> None:
        if self.num_features not in (0, NUM_TEXT_FEATURES, NUM_FEATURES):
            raise ValueError(f"num_features must be 0, {NUM_TEXT_FEATURES} or {NUM_FEATURES}, is {self.num_features}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """How a run is trained, whatever it learns. Lengths are in steps, so that a run repeats exactly."""

    # Where the checkpoint, metrics.jsonl, loss.png and, in the end, model/ are written.
    out: Path
    num_steps: int = 1000
    warmup_steps: int = 100
    # The last part of the run in which the rate falls linearly to nothing.
    decay_share: float = 0.3
    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 2e-3
    embedding_rate: float = 2e-3
    # Of everything in the encoder, by AdamW: one that has learned already is spoilt by the rates of one that has not.
    # None: as the rest of the net.
    encoder_rate: float | None = None
    # Position biases learn in every n-th step alone: on CPUs attention is slower where its mask needs a gradient.
    position_bias_every: int = 1
    weight_decay: float = 0.01
    # Gradients are scaled down to this norm.
    clip_norm: float = 1.0
    # cpu, cuda or cuda:N
    device: str = "cpu"
    # Of the matrix products; weights and optimisers stay fp32. auto: bf16 where the device has instructions for it.
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    seed: int = 0
    num_threads: int = 2
    # Batches made ahead of the net by a thread of their own; 0: none.
    prefetch: int = 2
    checkpoint_minutes: float = 5.0
    # Stop with a checkpoint after so long; the next run goes on from there. None: only after the last step.
    max_minutes: float | None = None
    log_every: int = 20
    # Floating-point operations per second the device can do at most, for MFU; None: by the device's name.
    peak_flops: float | None = None

    def __post_init__(self) -> None:
        check_at_least(self, 1, ("num_steps", "num_threads", "log_every", "position_bias_every"))
        check_at_least(self, 0, ("warmup_steps", "weight_decay", "prefetch", "checkpoint_minutes"))
        check_positive(
            self, ("learning_rate", "embedding_rate", "encoder_rate", "clip_norm", "max_minutes", "peak_flops")
        )
        check_shares(self, ("decay_share",))
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(f"device must be cpu, cuda or cuda:N, is {self.device!r}")

    def rate_at(self, step: int) -> float:
        """The factor on both rates at `step`: linear warm-up, flat, linear decay."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        left = (self.num_steps - step) / max(1.0, self.decay_share * self.num_steps)
        return min(warm, 1.0, left)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitTaskConfig:
    """What supervised training reads, and what counts in its loss."""

    data: tuple[Path, ...]
    # How many times each of `data` is read for one reading of the whole mixture.
    shares: tuple[float, ...]
    tokens_per_batch: int = 6144
    # The share of examples whose encoder input leaves the query out (indexed mode).
    indexed_share: float = 0.25
    # The share of examples whose markers are renumbered by a random shift: long documents are rare, and every
    # marker must learn to be chosen.
    shifted_share: float = 0.5
    # The share of examples without hints and text features: what they tell need not be learned from the text.
    unaided_share: float = 0.0
    # Loss weights: choosing a sentence and where to stop is what the copy constraint leaves to the net.
    marker_weight: float = 4.0
    end_weight: float = 2.0
    copied_weight: float = 0.5
    # Copied tokens are many and easy: the loss looks at this share of them.
    copied_share: float = 0.3
    # Of the loss that brings a query and the sentences that answer it together in the encoder, beside the summary's.
    similarity_weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.data) != len(self.shares) or not self.data:
            raise ValueError(f"shares must name one number per data set: {len(self.shares)} for {len(self.data)}")
        if min(self.shares) < 0:
            raise ValueError(f"shares must be at least 0, are {self.shares}")
        check_at_least(self, 1, ("tokens_per_batch",))
        check_at_least(self, 0, ("end_weight", "copied_weight", "similarity_weight"))
        # Every example has a marker: with this above 0 no batch is without weight.
        check_positive(self, ("marker_weight",))
        check_shares(self, ("indexed_share", "shifted_share", "unaided_share", "copied_share"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What every stage that trains a net has: which net, and how; a stage adds what is learned."""

    # tokenizer.json, lexicon.safetensors and, to start from, embeddings.safetensors
    model: Path
    loop: LoopConfig
    # A model directory whose net is trained on; None builds one of `shape`.
    start_from: Path | None = None
    shape: NetShape = field(default_factory=NetShape)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), is {self.dropout}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig(RunConfig):
    """A supervised stage: fit, distil, sft."""

    task: FitTaskConfig
