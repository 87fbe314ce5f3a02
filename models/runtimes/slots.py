"""The decoder's keys and values of a batch, in numpy, in slots that rows fill at their own pace.

Shapes: B batch · H heads · P slots · T tokens of a step · D head dim.
"""

from collections.abc import Sequence

import numpy as np

from qdts.models.runtimes.base import Floats, Ids
from qdts.models.runtimes.row_arrays import RowArrays

# Slots are added by this many: graphs see few shapes, and what a row does not use is masked.
_CHUNK = 32


class SlotCache:
    """Arrays (B, H, P, D), one per layer for keys and one for values; row b holds lengths[b] <= P tokens."""

    def __init__(self, num_arrays: int, num_rows: int, num_heads: int, head_dim: int) -> None:
        shape = (num_rows, num_heads, _CHUNK, head_dim)
        self._rows = RowArrays([np.zeros(shape, np.float32) for _ in range(num_arrays)])
        self.lengths: Ids = np.zeros(num_rows, np.int64)
        # Before the last `append`
        self._kept: Ids = self.lengths.copy()

    @property
    def arrays(self) -> list[Floats]:
        """Of all rows, without a copy."""
        return self._rows.used

    def join(self, num_rows: int) -> None:
        """Further rows, which hold nothing."""
        self._rows.resize(len(self.lengths) + num_rows, self._rows.extent)
        self.lengths = np.concatenate([self.lengths, np.zeros(num_rows, np.int64)])

    def take(self, rows: Ids) -> None:
        """Keep these rows alone, as `RowArrays.take`; slots that are far too many are given back."""
        self.lengths = self.lengths[rows]
        self._rows.take(rows)
        wanted = _in_chunks(max(self.lengths, default=0))
        if 2 * wanted <= self._rows.extent:
            self._rows.resize(len(rows), wanted)

    def select(self, rows: Ids) -> list[Floats]:
        """The arrays of some rows; without a copy where those are all."""
        if len(rows) == len(self.lengths):
            return self.arrays
        return [array[rows] for array in self.arrays]

    def append(self, rows: Ids, new: Sequence[Floats], counts: Ids) -> None:
        """Write the first counts[i] of T new slots (len(rows), H, T, D) behind what row rows[i] holds."""
        self._reserve(int((self.lengths[rows] + counts).max()))
        self._kept = self.lengths.copy()
        for array, fresh in zip(self.arrays, new, strict=True):
            for index, (row, count) in enumerate(zip(rows, counts, strict=True)):
                start = self.lengths[row]
                array[row, :, start : start + count] = fresh[index, :, :count]
        self.lengths[rows] += counts

    def keep(self, columns: Sequence[Ids]) -> None:
        """Of the slots that the last `append` wrote keep these per row, ascending; the others are free again."""
        for row, chosen in enumerate(columns):
            start, num_kept = int(self._kept[row]), len(chosen)
            assert not num_kept or chosen[-1] < self.lengths[row] - start, "keep cuts back, it cannot extend"
            # A path along the first columns, as of a chain, lies where it should.
            if num_kept and chosen[-1] >= num_kept:
                for array in self.arrays:
                    array[row, :, start : start + num_kept] = array[row][:, start + chosen]
            self.lengths[row] = start + num_kept

    def _reserve(self, needed: int) -> None:
        if needed > self._rows.extent:
            self._rows.resize(len(self.lengths), _in_chunks(needed))


def _in_chunks(needed: int) -> int:
    return max(-(-needed // _CHUNK), 1) * _CHUNK
