"""Sequences in flight in numpy: what the decoder reads of the documents, and its own keys and values.

Shapes: B batch · S document tokens · H heads · D head dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdts.models.runtimes.base import Floats, Ids, Noise
from qdts.models.runtimes.batching import Mask, close_gaps, join_noise, pad_floats, take_noise
from qdts.models.runtimes.row_arrays import RowArrays
from qdts.models.runtimes.slots import SlotCache

# Per layer keys and values (H, S_i, D) of one document
DocumentArrays = Sequence[Floats]
# Once more than this share of the documents' arrays is padding, the longest having left, all are cut.
_MOST_PADDING = 1 / 8


@dataclass(frozen=True, slots=True)
class Documents:
    """What the decoder reads of some rows: mask (B, S), and per layer keys and values (B, H, S, D)."""

    mask: Mask
    arrays: list[Floats]

    def select(self, rows: Ids) -> "Documents":
        """Some rows, cut to the longest document among them; without a copy where those are all."""
        if len(rows) == len(self.mask):
            return self
        longest = int(self.mask[rows].sum(-1).max())
        arrays = [np.ascontiguousarray(array[rows, :, :longest]) for array in self.arrays]
        return Documents(np.ascontiguousarray(self.mask[rows, :longest]), arrays)


class OnnxBatch:
    """Sequences in flight. A row that a step leaves out is left out of the computation."""

    def __init__(self, documents: Sequence[DocumentArrays], cache: SlotCache, noise: Sequence[Noise | None]) -> None:
        self.cache = cache
        self.noise = noise
        self._rows = RowArrays([pad_floats(layer, axis=1) for layer in zip(*documents, strict=True)])
        self._lengths = _lengths(documents)
        self._select_all()

    @property
    def lengths(self) -> Ids:
        """(B,) tokens held in the decoder's cache per sequence."""
        return self.cache.lengths

    def documents(self, rows: Ids) -> Documents:
        """What the decoder reads of these rows; the last answer is kept, rows change seldom."""
        if not np.array_equal(rows, self._selected[0]):
            self._selected = (rows, self._all.select(rows))
        return self._selected[1]

    def join(self, documents: Sequence[DocumentArrays], noise: Sequence[Noise | None]) -> None:
        """Further rows, of which nothing is decoded yet."""
        first, lengths = len(self._lengths), _lengths(documents)
        self._rows.resize(first + len(documents), max(self._rows.extent, int(lengths.max())))
        for row, document in enumerate(documents, first):
            for array, own in zip(self._rows.used, document, strict=True):
                array[row, :, : own.shape[1]] = own
        self.cache.join(len(documents))
        # Only now, when memory has not run out, do they count.
        self.noise = join_noise(self.noise, first, noise, len(documents))
        self._lengths = np.concatenate([self._lengths, lengths])
        self._select_all()

    def leave(self, rows: Ids) -> Ids:
        """Drop these rows; which of the old ones each of the others was."""
        kept = close_gaps(len(self._lengths), rows)
        self._rows.take(kept)
        self.noise = take_noise(self.noise, kept)
        self._lengths = self._lengths[kept]
        longest = max(self._lengths, default=0)
        if longest < (1 - _MOST_PADDING) * self._rows.extent:
            self._rows.resize(len(kept), longest)
        self.cache.take(kept)
        self._select_all()
        return kept

    def _select_all(self) -> None:
        mask = np.arange(self._rows.extent)[None] < self._lengths[:, None]
        self._all = Documents(mask, self._rows.used)
        self._selected = (np.arange(len(mask)), self._all)


def _lengths(documents: Sequence[DocumentArrays]) -> Ids:
    return np.array([document[0].shape[1] for document in documents], np.int64)
