"""Which windows of the shards a run reads, in which order: the part that all objectives over raw prose share."""

from collections.abc import Iterator
from itertools import count

import numpy as np

from qdts.models.runtimes.base import Ids
from qdts.models.training.shards import TokenShards


class WindowStream:
    """Batches of places. An epoch is every window once, in a random order, cut at a random offset.

    What does not fill a batch at an epoch's end is left out.
    """

    def __init__(self, shards: TokenShards, *, window: int, rows_per_batch: int, seed: int) -> None:
        self.window = window
        self._shards, self._rows, self._seed = shards, rows_per_batch, seed
        # The offset may cost each shard a window.
        if len(shards.window_starts(window, window - 1)) < rows_per_batch:
            raise ValueError(
                f"rows_per_batch must be at most the windows of {window} tokens in "
                f"{shards.num_tokens}, is {rows_per_batch}"
            )

    def windows_from(self, step: int) -> Iterator[tuple[Ids, np.random.Generator]]:
        """Where the windows of each batch begin (B,), and the chance that belongs to it; without the first `step`."""
        number = 0
        for epoch in count():
            starts = self._epoch(epoch)
            for first in range(0, len(starts) - self._rows + 1, self._rows):
                if number >= step:
                    yield starts[first : first + self._rows], np.random.default_rng((self._seed, 1, number))
                number += 1

    def _epoch(self, epoch: int) -> Ids:
        rng = np.random.default_rng((self._seed, 0, epoch))
        offset = int(rng.integers(0, self.window))
        return rng.permutation(self._shards.window_starts(self.window, offset))
