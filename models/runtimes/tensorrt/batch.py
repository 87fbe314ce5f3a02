"""Sequences in flight on the device: what the decoder reads of the documents, and its own keys and values.

Shapes: B rows, padded to a bucket · W lanes, the rows that a step computes · S document tokens · H heads · D head dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qdts.models.runtimes.base import Ids, Noise
from qdts.models.runtimes.tensorrt.buckets import rows_bucket
from qdts.models.runtimes.tensorrt.slots import DeviceSlots


@dataclass(frozen=True, slots=True)
class Documents:
    """mask (B, S), and per layer keys and values (B, H, S, D)."""

    mask: Tensor
    arrays: list[Tensor]

    def select(self, lanes: Tensor) -> "Documents":
        """Some rows: a copy."""
        return Documents(self.mask[lanes], [array[lanes] for array in self.arrays])


@dataclass(frozen=True, slots=True)
class Lanes:
    """What a step computes: `rows` (W,) of the batch, and at which `places` among them the rows asked for stand."""

    rows: Ids
    places: Ids

    def counts(self, asked: Ids) -> Ids:
        """Counts of the rows asked for -> (W,), 0 for what only fills up."""
        found = np.zeros(len(self.rows), np.int64)
        found[self.places] = asked
        return found


class TensorRtBatch:
    """Rows that are finished are left out of a step once that makes it smaller by a bucket."""

    def __init__(self, documents: Documents, cache: DeviceSlots, num_rows: int, noise: Sequence[Noise | None]) -> None:
        self.cache = cache
        self.num_rows = num_rows
        self.noise = noise
        self._all = np.arange(len(documents.mask))
        self._documents = documents
        self._selected = (self._all, documents)

    @property
    def lengths(self) -> Ids:
        """(B,) tokens held in the decoder's cache per sequence."""
        return self.cache.lengths[: self.num_rows]

    def lanes(self, rows: Ids) -> Lanes:
        """A step on these rows computes all there is, or them alone, the first repeated up to a bucket."""
        width = rows_bucket(len(rows), len(self._all))
        if width == len(self._all):
            return Lanes(self._all, rows)
        return Lanes(np.concatenate([rows, np.full(width - len(rows), rows[0])]), np.arange(len(rows)))

    def documents(self, lanes: Ids) -> Documents:
        """What the decoder reads of these rows (W,); the last answer is kept, rows change seldom."""
        if not np.array_equal(lanes, self._selected[0]):
            whole = len(lanes) == len(self._all)
            self._selected = (lanes, self._documents if whole else self._documents.select(self._index(lanes)))
        return self._selected[1]

    def past(self, lanes: Ids) -> list[Tensor]:
        """The cache's arrays of these rows (W,); without a copy where those are all."""
        if len(lanes) == len(self._all):
            return self.cache.arrays
        index = self._index(lanes)
        return [array[index] for array in self.cache.arrays]

    def _index(self, lanes: Ids) -> Tensor:
        return torch.from_numpy(lanes).to(self._documents.mask.device)
