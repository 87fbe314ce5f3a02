"""Sequences in flight on the device: what the decoder reads of the documents, and its own keys and values.

Shapes: B rows, padded to a bucket · W lanes, the rows that a step computes · S document tokens · H heads · D head dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qdts.models.runtimes.base import Ids, Noise
from qdts.models.runtimes.batching import close_gaps, join_noise, take_noise
from qdts.models.runtimes.tensorrt.buckets import rows_bucket
from qdts.models.runtimes.tensorrt.slots import DeviceSlots, take_rows


@dataclass(frozen=True, slots=True)
class Documents:
    """mask (B, S), and per layer keys and values (B, H, S, D)."""

    mask: Tensor
    arrays: list[Tensor]

    def first(self, num_rows: int) -> "Documents":
        """The first rows, without a copy."""
        return Documents(self.mask[:num_rows], [array[:num_rows] for array in self.arrays])

    def select(self, lanes: Tensor) -> "Documents":
        """Some rows: a copy."""
        return Documents(self.mask[lanes], [array[lanes] for array in self.arrays])

    def grown(self, num_rows: int, length: int) -> "Documents":
        """With room for so many rows and tokens: itself, or a copy."""
        rows, tokens = num_rows - len(self.mask), length - self.mask.shape[1]
        if not rows and not tokens:
            return self
        pad = torch.nn.functional.pad
        arrays = [pad(array, (0, 0, 0, tokens, 0, 0, 0, rows)) for array in self.arrays]
        return Documents(pad(self.mask, (0, tokens, 0, rows)), arrays)

    def write(self, at: int, other: "Documents") -> None:
        """Put the rows of another, which are not longer, at row `at` and after."""
        num_rows, length = other.mask.shape
        self.mask[at : at + num_rows] = False
        self.mask[at : at + num_rows, :length] = other.mask
        for array, own in zip(self.arrays, other.arrays, strict=True):
            array[at : at + num_rows, :, :length] = own


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
    """Rows in use are the first ones, so a step reads the least bucket that holds them where they lie."""

    def __init__(self, documents: Documents, cache: DeviceSlots, num_rows: int, noise: Sequence[Noise | None]) -> None:
        self.cache = cache
        self.num_rows = num_rows
        self.noise = noise
        self._documents = documents
        self._selected = (np.zeros(0, np.int64), documents)

    @property
    def lengths(self) -> Ids:
        """(B,) tokens held in the decoder's cache per sequence."""
        return self.cache.lengths[: self.num_rows]

    def lanes(self, rows: Ids) -> Lanes:
        """A step on these rows computes the first ones up to a bucket, or, where that leaves some of them out, them
        alone, the first repeated."""
        width = rows_bucket(len(rows), len(self._documents.mask))
        if int(rows.max()) < width:
            return Lanes(np.arange(width), rows)
        return Lanes(np.concatenate([rows, np.full(width - len(rows), rows[0])]), np.arange(len(rows)))

    def documents(self, lanes: Ids) -> Documents:
        """What the decoder reads of these rows (W,); the last answer is kept, rows change seldom."""
        if not np.array_equal(lanes, self._selected[0]):
            first = self._documents.first(len(lanes)) if _are_first(lanes) else None
            self._selected = (lanes, first or self._documents.select(self._index(lanes)))
        return self._selected[1]

    def past(self, lanes: Ids) -> list[Tensor]:
        """The cache's arrays of these rows (W,); without a copy where those are the first ones."""
        if _are_first(lanes):
            return [array[: len(lanes)] for array in self.cache.arrays]
        index = self._index(lanes)
        return [array[index] for array in self.cache.arrays]

    def join(self, documents: Documents, num_rows: int, noise: Sequence[Noise | None], room: int) -> None:
        """Further rows, the first ones of these documents; `room` for how many there is from now on, at least."""
        first, room = self.num_rows, max(room, len(self._documents.mask))
        length = max(self._documents.mask.shape[1], documents.mask.shape[1])
        self.cache.reserve_rows(room)
        self._documents = self._documents.grown(room, length)
        self._documents.write(first, documents.first(num_rows))
        self.noise = join_noise(self.noise, first, noise, num_rows)
        self._renumber(first + num_rows)

    def leave(self, rows: Ids) -> Ids:
        """Drop these rows; which of the old ones each of the others was."""
        kept = close_gaps(self.num_rows, rows)
        take_rows([self._documents.mask, *self._documents.arrays], kept)
        self.cache.take(kept)
        self.noise = take_noise(self.noise, kept)
        self._renumber(len(kept))
        return kept

    def _renumber(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self._selected = (np.zeros(0, np.int64), self._documents)

    def _index(self, lanes: Ids) -> Tensor:
        return torch.from_numpy(lanes).to(self._documents.mask.device)


def _are_first(lanes: Ids) -> bool:
    return bool((lanes == np.arange(len(lanes))).all())
