"""The decoder-only baseline behind the same protocol, in torch, so that the same decoding and measures judge it.

`encode` looks tokens up and nothing more; `start` adds the features and reads the document through all layers: the
first part of the sequence. The decoder's prefix and the summary follow as with any other runtime. It is for
comparison, so no model directory loads it (`load_runtime` does not know it).
Shapes: B batch · S document tokens · P cached slots · T tokens of a step · C hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qdts.models.nets.decoder_only import DecoderOnly
from qdts.models.nets.layers import KeyValue
from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, RuntimeInfo, States
from qdts.models.runtimes.batching import pad_floats
from qdts.models.runtimes.choice import choose
from qdts.models.runtimes.eager import grow


@dataclass(slots=True, kw_only=True)
class DecoderOnlyBatch:
    """The cache of each row, document included: P is the longest row."""

    past: list[KeyValue]
    lengths: Ids


@dataclass(frozen=True, slots=True)
class _Head:
    """Scores from the tied embeddings."""

    net: DecoderOnly

    def scores(self, hidden: Floats, ids: Ids | None) -> Floats:
        """(N, C) -> (N, len(ids)), or (N, V) where ids is None"""
        return self.net.logits(torch.tensor(hidden), None if ids is None else torch.tensor(ids)).numpy()


class DecoderOnlyRuntime:
    """See `runtimes.base.Runtime`; fp32 on the CPU."""

    def __init__(self, net: DecoderOnly) -> None:
        self._net = net.eval()
        self._head = _Head(self._net)

    @property
    def num_features(self) -> int:
        """Interaction features per token."""
        return self._net.config.num_features

    @property
    def info(self) -> RuntimeInfo:
        """What this runtime is."""
        return RuntimeInfo(name="decoder_only", precision="fp32", device="cpu", num_threads=torch.get_num_threads())

    @torch.inference_mode()
    def encode(self, documents: Sequence[Ids]) -> list[States]:
        """Ids (S_i,) per document -> embeddings (S_i, C) per document."""
        return [States(hidden=self._net.embed(_tensor(ids)).numpy()) for ids in documents]

    @torch.inference_mode()
    def start(self, states: Sequence[States], features: Sequence[Floats | None]) -> DecoderOnlyBatch:
        """Add the features and read the documents; rows are padded at their ends, which nothing before sees."""
        rows = [self._interact(*row) for row in zip(states, features, strict=True)]
        _, past = self._net(_tensor(pad_floats(rows, axis=0)))
        return DecoderOnlyBatch(past=past, lengths=np.array([len(row) for row in rows], np.int64))

    @torch.inference_mode()
    def step(self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None) -> Ids:
        """Append counts[b] of tokens (B, T) to each sequence; the greedy choice (B, T) after each."""
        held = cast(DecoderOnlyBatch, batch)
        hidden, new = self._net.step(self._net.embed(_tensor(tokens)), _tensor(held.lengths), held.past)
        grown = held.lengths + counts
        held.past = [grow(*layer, held.lengths, grown) for layer in zip(held.past, new, strict=True)]
        held.lengths = grown
        return choose(self._head, hidden.numpy(), counts, allowed)

    def keep(self, batch: Batch, lengths: Ids) -> None:
        """Forget what lies past lengths (B,)."""
        held = cast(DecoderOnlyBatch, batch)
        assert (lengths <= held.lengths).all(), "keep cuts back, it cannot extend"
        held.lengths = lengths.copy()

    def _interact(self, states: States, features: Floats | None) -> Floats:
        extra = None if features is None else _tensor(features)
        return self._net.interact(_tensor(states.hidden), extra).numpy()


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.tensor(array)  # a copy: the array may be read-only
