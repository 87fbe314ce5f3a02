"""Sequences in flight: which rows of the memory they have, and what perturbs their choices.

Sequences may join and leave between steps. One that has left keeps its index, without a row, until another takes it.
Shapes: B sequences, those that have left included.
"""

import weakref
from collections.abc import Sequence

import numpy as np

from qdts.models.runtimes.base import Ids, Noise
from qdts.models.runtimes.cuda.memory import RowMemory


class CudaBatch:
    """`rows` (B,) of the memory, given back when their sequences leave or nobody holds the batch any more."""

    def __init__(self, memory: RowMemory) -> None:
        self.rows: Ids = np.zeros(0, np.int64)
        self.noise: list[Noise | None] = []
        self._memory = memory
        self._held = set[int]()
        weakref.finalize(self, memory.give, self._held)

    @property
    def lengths(self) -> Ids:
        """(B,) tokens held in the decoder's cache per sequence."""
        return self._memory.lengths[self.rows]

    def join(self, rows: Ids, noise: Sequence[Noise | None]) -> Ids:
        """Open sequences on these rows; their indices in the batch."""
        left = np.flatnonzero(self.rows == self._memory.nobody)[: len(rows)]
        indices = np.concatenate([left, len(self.rows) + np.arange(len(rows) - len(left))])
        self.rows = np.pad(self.rows, (0, len(rows) - len(left)))
        self.rows[indices] = rows
        self.noise += [None] * (len(self.rows) - len(self.noise))
        for index, each in zip(indices.tolist(), noise or [None] * len(rows), strict=True):
            self.noise[index] = each
        self._held.update(rows.tolist())
        return indices

    def leave(self, indices: Sequence[int]) -> None:
        """These sequences are over: their rows are free, and no step may ask for them."""
        rows = set(self.rows[list(indices)].tolist()) - {self._memory.nobody}
        self._memory.give(rows)
        self._held.difference_update(rows)
        self.rows[list(indices)] = self._memory.nobody
