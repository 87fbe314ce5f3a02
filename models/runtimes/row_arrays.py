"""Arrays of a batch's rows, in numpy, with room for more: rows come and go, and the others are not copied for it.

Shapes: R rows that there is room for · B rows in use, the first ones · H heads · X tokens or slots · D head dim.
"""

from collections.abc import Sequence

import numpy as np

from qdts.models.runtimes.base import Floats, Ids


class RowArrays:
    """Arrays (R, H, X, D); all rows of those given are in use. What a row does not fill holds any finite numbers."""

    def __init__(self, arrays: Sequence[Floats]) -> None:
        self._arrays = list(arrays)
        self._num_rows = len(self._arrays[0])

    @property
    def used(self) -> list[Floats]:
        """The rows in use, (B, H, X, D): views in one piece, no copies."""
        return [array[: self._num_rows] for array in self._arrays]

    @property
    def extent(self) -> int:
        """X."""
        return self._arrays[0].shape[2]

    def resize(self, num_rows: int, extent: int) -> None:
        """Use so many rows, so long. All are copied where there is no room for them, or the length is another."""
        if num_rows > len(self._arrays[0]) or extent != self.extent:
            room = 1 << max(num_rows - 1, 0).bit_length()
            self._arrays = [_resized(array, room, extent) for array in self.used]
        self._num_rows = num_rows

    def take(self, rows: Ids) -> None:
        """Use these rows alone, in this order; only those that move are copied. A row moves to a lower place."""
        moved = np.flatnonzero(rows != np.arange(len(rows)))
        for array in self._arrays:
            array[moved] = array[rows[moved]]
        self._num_rows = len(rows)


def _resized(array: Floats, room: int, extent: int) -> Floats:
    rows, (num_heads, held, head_dim) = min(len(array), room), array.shape[1:]
    out = np.zeros((room, num_heads, extent, head_dim), np.float32)
    out[:rows, :, :held] = array[:rows, :, :extent]
    return out
