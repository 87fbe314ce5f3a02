"""Prefix language modelling: the encoder reads the first part of a window, the decoder goes on from there.

Raffel et al. 2020 (arXiv 1910.10683), section 3.3.1. The part is of one length, so that no row has padding. Knows
nothing of where windows come from.
"""

import numpy as np

from qdts.models.runtimes.base import Ids
from qdts.models.tokenizer import DOCUMENT, PAD
from qdts.models.training.sequence import SequenceBatch


class PrefixLM:
    """`encoder_tokens` are read (with the mark of a document), `continuation` are written."""

    name = "prefix"

    def __init__(self, encoder_tokens: int, continuation: int) -> None:
        self._split = encoder_tokens - 1
        self.window = self._split + continuation

    def make(self, windows: Ids, rng: np.random.Generator) -> SequenceBatch:
        """(B, W) -> encoder (B, S), decoder (B, W - S + 1). Nothing here is chance."""
        read, written = windows[:, : self._split], windows[:, self._split :]
        return SequenceBatch(
            ids=np.pad(read, ((0, 0), (1, 0)), constant_values=DOCUMENT),
            tokens=np.pad(written[:, :-1], ((0, 0), (1, 0)), constant_values=PAD),
            labels=written,
        )
