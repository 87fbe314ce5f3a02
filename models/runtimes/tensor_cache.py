"""The decoder's keys and values of a batch, in torch, each row's slots one behind the other.

Shapes: B batch · H heads · P slots, as many as the longest row has · T tokens of a step · D head dim.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from qdts.models.nets.layers import KeyValue
from qdts.models.runtimes.base import Ids


class TensorCache:
    """Per layer keys and values (B, H, P, D); row b holds lengths[b] <= P tokens."""

    def __init__(self, layers: Sequence[KeyValue], lengths: Ids) -> None:
        self.layers = list(layers)
        self.lengths = lengths
        # Before the last `append`
        self._kept = lengths

    @torch.inference_mode()
    def append(self, new: Sequence[KeyValue], counts: Ids) -> None:
        """Put the first counts[b] of T new slots (B, H, T, D) behind what row b holds."""
        self._kept, self.lengths = self.lengths, self.lengths + counts
        grown = [zip(*layer, strict=True) for layer in zip(self.layers, new, strict=True)]
        self.layers = [KeyValue(*(self._grow(*pair) for pair in pairs)) for pairs in grown]

    @torch.inference_mode()
    def keep(self, columns: Sequence[Ids]) -> None:
        """Of the slots that the last `append` wrote keep these per row, ascending; the others are free again."""
        lengths = self._kept + np.array([len(chosen) for chosen in columns])
        assert (lengths <= self.lengths).all(), "keep cuts back, it cannot extend"
        for row, (start, chosen) in enumerate(zip(self._kept.tolist(), columns, strict=True)):
            source = torch.as_tensor(start + chosen)
            for tensor in (tensor for layer in self.layers for tensor in layer):
                tensor[row, :, start : start + len(chosen)] = tensor[row][:, source]
        self.lengths = lengths

    @torch.inference_mode()
    def join(self, other: "TensorCache") -> None:
        """The rows of another cache behind those of this one."""
        self.layers = join_layers(self.layers, other.layers)
        self.lengths = np.concatenate([self.lengths, other.lengths])

    @torch.inference_mode()
    def take(self, rows: Ids) -> None:
        """Keep these rows alone, in this order."""
        self.lengths = self.lengths[rows]
        self.layers = take_layers(self.layers, rows, max(self.lengths, default=0))

    def _grow(self, past: Tensor, new: Tensor) -> Tensor:
        out = past.new_zeros(past.shape[0], past.shape[1], int(self.lengths.max()), past.shape[3])
        for row, (start, end) in enumerate(zip(self._kept, self.lengths, strict=True)):
            out[row, :, :start] = past[row, :, :start]
            out[row, :, start:end] = new[row, :, : end - start]
        return out


def join_layers(first: Sequence[KeyValue], second: Sequence[KeyValue]) -> list[KeyValue]:
    """Keys and values (B, H, P, D) and (B', H, P', D) -> (B + B', H, max(P, P'), D), 0 past the end."""
    pairs = zip(first, second, strict=True)
    return [KeyValue(*(join_rows(*pair, axis=2) for pair in zip(*layers, strict=True))) for layers in pairs]


def take_layers(layers: Sequence[KeyValue], rows: Ids, length: int) -> list[KeyValue]:
    """Some rows of keys and values, cut to `length`."""
    index = torch.as_tensor(rows)
    return [KeyValue(*(tensor[index, :, :length] for tensor in layer)) for layer in layers]


def join_rows(first: Tensor, second: Tensor, axis: int) -> Tensor:
    """Two tensors that may differ in length along `axis`, one behind the other, 0 past the end."""
    length = max(first.shape[axis], second.shape[axis])
    return torch.cat([_extend(tensor, axis, length) for tensor in (first, second)])


def _extend(tensor: Tensor, axis: int, length: int) -> Tensor:
    shape = list(tensor.shape)
    shape[axis] = length - shape[axis]
    return torch.cat([tensor, tensor.new_zeros(shape)], dim=axis)
