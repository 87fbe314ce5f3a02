"""Sequences in flight: which rows of the memory they have, and what perturbs their choices."""

import weakref
from collections.abc import Sequence

from qdts.models.runtimes.base import Ids, Noise
from qdts.models.runtimes.cuda.memory import RowMemory


class CudaBatch:
    """Rows (B,) of the memory, given back when nobody holds the batch any more."""

    def __init__(self, memory: RowMemory, rows: Ids, noise: Sequence[Noise | None]) -> None:
        self.rows = rows
        self.noise = noise
        self._memory = memory
        weakref.finalize(self, memory.give, rows.tolist())

    @property
    def lengths(self) -> Ids:
        """(B,) tokens held in the decoder's cache per sequence."""
        return self._memory.lengths[self.rows]
