"""The network itself, in torch: slow to start, easy to read, the oracle for every other runtime.

Shapes: B batch · S document tokens  · T tokens of a step · H heads · D head dim · C hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor

from qdts.errors import Unsupported
from qdts.models import checkpoint
from qdts.models.nets.layers import KeyValue, StepLayout
from qdts.models.nets.t5 import T5
from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, Noise, RuntimeInfo, States
from qdts.models.runtimes.batching import (
    close_gaps,
    join_noise,
    lay_out,
    length_mask,
    pad_floats,
    pad_ids,
    take_noise,
)
from qdts.models.runtimes.choice import Head, RowNoise, choose
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.tensor_cache import TensorCache, join_layers, join_rows, take_layers


@dataclass(slots=True, kw_only=True)
class EagerBatch:
    """The document's keys and values, fixed, and the decoder's own, growing."""

    mask: Tensor  # (B, S)
    document: list[KeyValue]
    cache: TensorCache
    noise: Sequence[Noise | None]

    @property
    def lengths(self) -> Ids:
        """(B,) tokens held in the decoder's cache per sequence."""
        return self.cache.lengths

    def join(self, other: "EagerBatch") -> None:
        """The rows of another batch behind those of this one."""
        noise = join_noise(self.noise, len(self.mask), other.noise, len(other.mask))
        mask = join_rows(self.mask, other.mask, axis=1)
        document = join_layers(self.document, other.document)
        self.cache.join(other.cache)
        self.noise, self.mask, self.document = noise, mask, document

    def leave(self, rows: Ids) -> Ids:
        """Drop these rows; which of the old ones each of the others was."""
        kept = close_gaps(len(self.mask), rows)
        mask = self.mask[torch.as_tensor(kept)]
        self.mask = mask[:, mask.any(0)]  # as long as the longest document that is left
        self.document = take_layers(self.document, kept, self.mask.shape[1])
        self.noise = take_noise(self.noise, kept)
        self.cache.take(kept)
        return kept


@dataclass(frozen=True, slots=True)
class _TorchHead(Head):
    """Scores from the network's output layer."""

    net: T5
    device: torch.device

    def scores(self, hidden: Floats, ids: Ids | None) -> Floats:
        """(N, C) -> (N, len(ids)), or (N, V) where ids is None"""
        chosen = None if ids is None else torch.tensor(ids, device=self.device)
        return self.net.logits(torch.tensor(hidden, device=self.device), chosen).cpu().numpy()


class EagerRuntime:
    """See `runtimes.base.Runtime`. torch has one thread pool: `num_threads` sets it for the whole process."""

    def __init__(self, net: T5, config: RuntimeConfig) -> None:
        if config.precision != "fp32":
            raise Unsupported(f"the eager runtime computes in fp32, not {config.precision}")
        if config.num_threads is not None:
            torch.set_num_threads(config.num_threads)
        self._device = torch.device(config.device)
        self._net = net.eval().to(self._device)
        self._head = _TorchHead(self._net, self._device)

    @classmethod
    def load(cls, directory: Path, config: RuntimeConfig) -> Self:
        """From a Hugging Face directory."""
        return cls(checkpoint.load(directory), config)

    @property
    def num_features(self) -> int:
        """Interaction features per token."""
        return self._net.config.num_features

    @property
    def info(self) -> RuntimeInfo:
        """What this runtime is."""
        threads = torch.get_num_threads()
        return RuntimeInfo(name="eager", precision="fp32", device=str(self._device), num_threads=threads)

    @torch.inference_mode()
    def encode(self, documents: Sequence[Ids]) -> list[States]:
        """Ids (S_i,) per document -> states (S_i, C) per document."""
        ids, mask = pad_ids(documents)
        hidden = self._net.encode(self._tensor(ids), self._tensor(mask)).cpu().numpy()
        rows = zip(hidden, documents, strict=True)
        return [States(hidden=row[: len(document)]) for row, document in rows]

    @torch.inference_mode()
    def start(
        self, states: Sequence[States], features: Sequence[Floats | None], noise: Sequence[Noise | None] = ()
    ) -> EagerBatch:
        """Add the projected features, project the document's keys and values; nothing decoded yet."""
        rows = [self._interact(*row) for row in zip(states, features, strict=True)]
        document = self._net.decoder.project(self._tensor(pad_floats(rows, axis=0)))
        mask = self._tensor(length_mask([len(row) for row in rows]))
        empty = [KeyValue(layer.key[:, :, :0], layer.value[:, :, :0]) for layer in document]
        cache = TensorCache(empty, np.zeros(len(rows), np.int64))
        return EagerBatch(mask=mask, document=document, cache=cache, noise=noise)

    @torch.inference_mode()
    def join(
        self,
        batch: Batch,
        states: Sequence[States],
        features: Sequence[Floats | None],
        noise: Sequence[Noise | None] = (),
    ) -> None:
        """Open further sequences behind those of the batch."""
        cast(EagerBatch, batch).join(self.start(states, features, noise))

    @torch.inference_mode()
    def leave(self, batch: Batch, rows: Ids) -> Ids:
        """Close these sequences; which of the old rows each of the others was."""
        return cast(EagerBatch, batch).leave(rows)

    @torch.inference_mode()
    def step(
        self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None, parents: Ids | None = None
    ) -> Ids:
        """Append counts[b] of tokens (B, T) to each sequence; the choice (B, T) after each."""
        held = cast(EagerBatch, batch)
        layout, noise = plan_step(held.cache.lengths, tokens.shape[1], parents, held.noise, self._device)
        hidden, new = self._net.step(self._tensor(tokens), layout, held.mask, held.document, held.cache.layers)
        held.cache.append(new, counts)
        return choose(self._head, hidden.cpu().numpy(), counts, allowed, noise)

    def keep(self, batch: Batch, columns: Sequence[Ids]) -> None:
        """Of the last step's tokens keep these columns of each row."""
        cast(EagerBatch, batch).cache.keep(columns)

    def _interact(self, states: States, features: Floats | None) -> Floats:
        hidden = self._tensor(states.hidden)
        extra = None if features is None else self._tensor(features)
        return self._net.interact(hidden, extra).cpu().numpy()

    def _tensor(self, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
        return torch.tensor(array, device=self._device)  # a copy: the array may be read-only


def plan_step(
    lengths: Ids, num_new: int, parents: Ids | None, noise: Sequence[Noise | None], device: torch.device
) -> tuple[StepLayout, RowNoise]:
    """Where a step's tokens stand, as tensors, and what perturbs the choices after them."""
    positions, visible = lay_out(lengths, num_new, parents)
    layout = StepLayout(*(torch.tensor(array, device=device) for array in (lengths, positions, visible)))
    return layout, RowNoise(noise, positions)
