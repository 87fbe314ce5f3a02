"""Sequences in flight: which rows of the memory they have, and what perturbs their choices.

Sequences may join and leave between steps: what is in memory stays where it is.
Shapes: B sequences.
"""

import weakref
from collections.abc import Sequence

import numpy as np

from qdts.models.runtimes.base import Ids, Noise
from qdts.models.runtimes.batching import close_gaps, join_noise, take_noise
from qdts.models.runtimes.cuda.memory import RowMemory


class CudaBatch:
    """`rows` (B,) of the memory, given back when their sequences leave or nobody holds the batch any more."""

    def __init__(self, memory: RowMemory) -> None:
        self.rows: Ids = np.zeros(0, np.int64)
        self.noise: Sequence[Noise | None] = ()
        self._memory = memory
        self._held = set[int]()
        weakref.finalize(self, memory.give, self._held)

    @property
    def lengths(self) -> Ids:
        """(B,) tokens held in the decoder's cache per sequence."""
        return self._memory.lengths[self.rows]

    def join(self, rows: Ids, noise: Sequence[Noise | None]) -> None:
        """Further sequences, on these rows."""
        self.noise = join_noise(self.noise, len(self.rows), noise, len(rows))
        self.rows = np.concatenate([self.rows, rows])
        self._held.update(rows.tolist())

    def leave(self, leaving: Ids) -> Ids:
        """These sequences are over, their rows are free; which of the old ones each of the others was."""
        kept = close_gaps(len(self.rows), leaving)
        free = set(self.rows[leaving].tolist())
        self._memory.give(free)
        self._held.difference_update(free)
        self.rows, self.noise = self.rows[kept], take_noise(self.noise, kept)
        return kept
