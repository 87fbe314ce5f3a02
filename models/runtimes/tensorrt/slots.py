"""The decoder's keys and values of a batch, on the device, in slots that rows fill at their own pace.

The last slot belongs to nobody: what padding computes is written there.
Shapes: B rows · W lanes, the rows that a step computes · H heads · P slots · T tokens of a step · K kept · D head dim.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from qdts.models.runtimes.base import Ids
from qdts.models.runtimes.tensorrt.buckets import length_bucket

# Slots are added by this many: a step is computed for few numbers of them.
SLOT_CHUNK = 64


class DeviceSlots:
    """Arrays (B, H, P, D), one per layer for keys and one for values; row b holds lengths[b] < P tokens."""

    def __init__(self, arrays: Sequence[Tensor], max_slots: int) -> None:
        self.arrays = list(arrays)
        self.lengths: Ids = np.zeros(len(self.arrays[0]), np.int64)
        self._max_slots = max_slots
        # Before the last `append`
        self._kept = self.lengths.copy()

    @property
    def num_slots(self) -> int:
        """P."""
        return self.arrays[0].shape[2]

    def reserve_rows(self, num_rows: int) -> None:
        """Room for so many rows."""
        if (missing := num_rows - len(self.lengths)) > 0:
            self.arrays = [torch.nn.functional.pad(array, (0,) * 7 + (missing,)) for array in self.arrays]
            self.lengths = np.pad(self.lengths, (0, missing))

    def take(self, rows: Ids) -> None:
        """Keep these rows alone, in this order, before rows that hold nothing; only those that move are copied."""
        take_rows(self.arrays, rows)
        self.lengths = np.pad(self.lengths[rows], (0, len(self.lengths) - len(rows)))

    def reserve(self, num_tokens: int) -> None:
        """Room for so many tokens in a row, and the slot that belongs to nobody."""
        wanted = length_bucket(num_tokens + 1, self._max_slots, SLOT_CHUNK)
        if (missing := wanted - self.num_slots) > 0:
            self.arrays = [torch.nn.functional.pad(array, (0, 0, 0, missing)) for array in self.arrays]

    def append(self, lanes: Ids, new: Sequence[Tensor], counts: Ids) -> None:
        """Write the first counts[w] of T new slots (W, H, T, D) behind what row lanes[w] holds."""
        self._kept = self.lengths.copy()
        columns = np.arange(new[0].shape[2])
        slots = np.where(columns < counts[:, None], self.lengths[lanes][:, None] + columns, self.num_slots - 1)
        rows, slots = self._index(lanes[:, None]), self._index(slots)  # (W, 1), (W, T)
        for array, fresh in zip(self.arrays, new, strict=True):
            array[rows, :, slots] = fresh.transpose(1, 2)  # (W, T, H, D)
        np.add.at(self.lengths, lanes, counts)

    def keep(self, columns: Sequence[Ids]) -> None:
        """Of the slots that the last `append` wrote keep these per row, ascending; the others are free again."""
        counts = np.array([len(chosen) for chosen in columns])
        sources = np.full((len(columns), max(int(counts.max()), 1)), self.num_slots - 1)
        targets = sources.copy()
        for row, chosen in enumerate(columns):
            start = int(self._kept[row])
            assert not len(chosen) or chosen[-1] < self.lengths[row] - start, "keep cuts back, it cannot extend"
            sources[row, : len(chosen)] = start + chosen
            targets[row, : len(chosen)] = start + np.arange(len(chosen))
        if (sources != targets).any():
            self._move(sources, targets)
        self.lengths[: len(columns)] = self._kept[: len(columns)] + counts

    def _move(self, sources: Ids, targets: Ids) -> None:
        """Copy slots (B, K) of each row to others of it; sources are read before any is written."""
        rows = self._index(np.arange(len(sources))[:, None])
        read, write = self._index(sources), self._index(targets)
        for array in self.arrays:
            array[rows, :, write] = array[rows, :, read]

    def _index(self, values: Ids) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.arrays[0].device)


def take_rows(arrays: Sequence[Tensor], rows: Ids) -> None:
    """Move rows[i] of each array to i, where it is not there yet."""
    moved = np.flatnonzero(rows != np.arange(len(rows)))
    if len(moved):
        write, read = (torch.from_numpy(places).to(arrays[0].device) for places in (moved, rows[moved]))
        for array in arrays:
            array[write] = array[read]
