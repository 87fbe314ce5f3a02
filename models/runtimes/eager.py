"""The network itself, in torch: slow to start, easy to read, the oracle for every other runtime.

Shapes: B batch · S document tokens · P cached slots · T tokens of a step · H heads · D head dim · C hidden.
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
from qdts.models.nets.layers import KeyValue
from qdts.models.nets.t5 import T5
from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, RuntimeInfo, States
from qdts.models.runtimes.batching import length_mask, pad_floats, pad_ids
from qdts.models.runtimes.choice import choose
from qdts.models.runtimes.config import RuntimeConfig


@dataclass(slots=True, kw_only=True)
class EagerBatch:
    """The document's keys and values, fixed, and the decoder's own, growing: P is the longest row."""

    mask: Tensor  # (B, S)
    document: list[KeyValue]
    past: list[KeyValue]
    lengths: Ids


@dataclass(frozen=True, slots=True)
class _TorchHead:
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
    def start(self, states: Sequence[States], features: Sequence[Floats | None]) -> EagerBatch:
        """Add the projected features, project the document's keys and values; nothing decoded yet."""
        rows = [self._interact(*row) for row in zip(states, features, strict=True)]
        document = self._net.decoder.project(self._tensor(pad_floats(rows, axis=0)))
        mask = self._tensor(length_mask([len(row) for row in rows]))
        empty = [KeyValue(layer.key[:, :, :0], layer.value[:, :, :0]) for layer in document]
        return EagerBatch(mask=mask, document=document, past=empty, lengths=np.zeros(len(rows), np.int64))

    @torch.inference_mode()
    def step(self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None) -> Ids:
        """Append counts[b] of tokens (B, T) to each sequence; the greedy choice (B, T) after each."""
        held = cast(EagerBatch, batch)
        lengths = self._tensor(held.lengths)
        hidden, new = self._net.step(self._tensor(tokens), lengths, held.mask, held.document, held.past)
        grown = held.lengths + counts
        held.past = [grow(*layer, held.lengths, grown) for layer in zip(held.past, new, strict=True)]
        held.lengths = grown
        return choose(self._head, hidden.cpu().numpy(), counts, allowed)

    def keep(self, batch: Batch, lengths: Ids) -> None:
        """Forget what lies past lengths (B,)."""
        held = cast(EagerBatch, batch)
        assert (lengths <= held.lengths).all(), "keep cuts back, it cannot extend"
        held.lengths = lengths.copy()

    def _interact(self, states: States, features: Floats | None) -> Floats:
        hidden = self._tensor(states.hidden)
        extra = None if features is None else self._tensor(features)
        return self._net.interact(hidden, extra).cpu().numpy()

    def _tensor(self, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
        return torch.tensor(array, device=self._device)  # a copy: the array may be read-only


def grow(past: KeyValue, new: KeyValue, lengths: Ids, grown: Ids) -> KeyValue:
    """A cache whose rows are `grown` (B,) long: each row's new slots behind its old ones; rows differ in both."""
    return KeyValue(*(_grow_one(*pair, lengths, grown) for pair in zip(past, new, strict=True)))


def _grow_one(past: Tensor, new: Tensor, lengths: Ids, grown: Ids) -> Tensor:
    out = past.new_zeros(past.shape[0], past.shape[1], int(grown.max()), past.shape[3])
    for row, (start, end) in enumerate(zip(lengths, grown, strict=True)):
        out[row, :, :start] = past[row, :, :start]
        out[row, :, start:end] = new[row, :, : end - start]
    return out
