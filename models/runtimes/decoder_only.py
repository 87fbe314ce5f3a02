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
from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, Noise, RuntimeInfo, States
from qdts.models.runtimes.batching import close_gaps, join_noise, pad_floats, take_noise
from qdts.models.runtimes.choice import Head, choose
from qdts.models.runtimes.eager import plan_step
from qdts.models.runtimes.tensor_cache import TensorCache


class DecoderOnlyBatch(TensorCache):
    """The cache of each row, document included."""

    noise: Sequence[Noise | None] = ()

    def leave(self, rows: Ids) -> Ids:
        """Drop these rows; which of the old ones each of the others was."""
        kept = close_gaps(len(self.lengths), rows)
        self.noise = take_noise(self.noise, kept)
        self.take(kept)
        return kept


@dataclass(frozen=True, slots=True)
class _Head(Head):
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
    def start(
        self, states: Sequence[States], features: Sequence[Floats | None], noise: Sequence[Noise | None] = ()
    ) -> DecoderOnlyBatch:
        """Add the features and read the documents, which begin the cache; rows are padded at their ends, which nothing
        before sees."""
        rows = [self._interact(*row) for row in zip(states, features, strict=True)]
        _, past = self._net(_tensor(pad_floats(rows, axis=0)))
        batch = DecoderOnlyBatch(past, np.array([len(row) for row in rows], np.int64))
        batch.noise = noise
        return batch

    @torch.inference_mode()
    def join(
        self,
        batch: Batch,
        states: Sequence[States],
        features: Sequence[Floats | None],
        noise: Sequence[Noise | None] = (),
    ) -> None:
        """Open further sequences behind those of the batch."""
        held, other = cast(DecoderOnlyBatch, batch), self.start(states, features, noise)
        noise = join_noise(held.noise, len(held.lengths), noise, len(other.lengths))
        held.join(other)
        held.noise = noise

    @torch.inference_mode()
    def leave(self, batch: Batch, rows: Ids) -> Ids:
        """Close these sequences; which of the old rows each of the others was."""
        return cast(DecoderOnlyBatch, batch).leave(rows)

    @torch.inference_mode()
    def step(
        self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None, parents: Ids | None = None
    ) -> Ids:
        """Append counts[b] of tokens (B, T) to each sequence; the choice (B, T) after each."""
        cache = cast(DecoderOnlyBatch, batch)
        layout, noise = plan_step(cache.lengths, tokens.shape[1], parents, cache.noise, torch.device("cpu"))
        hidden, new = self._net.step(self._net.embed(_tensor(tokens)), layout, cache.layers)
        cache.append(new, counts)
        return choose(self._head, hidden.numpy(), counts, allowed, noise)

    def keep(self, batch: Batch, columns: Sequence[Ids]) -> None:
        """Of the last step's tokens keep these columns of each row."""
        cast(DecoderOnlyBatch, batch).keep(columns)

    def _interact(self, states: States, features: Floats | None) -> Floats:
        extra = None if features is None else _tensor(features)
        return self._net.interact(_tensor(states.hidden), extra).numpy()


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.tensor(array)  # a copy: the array may be read-only
