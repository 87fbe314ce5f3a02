"""The vocabulary's table, held once, outside the graphs: token embeddings in, scores out.

A step that may choose among few tokens then reads few rows of the table, not all of it.
Shapes: N positions · K permitted ids · C hidden · V vocabulary.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from qdts.errors import WeightsMissing
from qdts.models.runtimes.base import Floats, Ids
from qdts.models.runtimes.choice import Head

EMBEDDING = "embedding.safetensors"


@dataclass(frozen=True)
class Table(Head):
    """(V, C) rows, each `rows[i] * scale[i]`: int8 with a scale per row, or float32 with scale 1."""

    rows: npt.NDArray[np.int8] | Floats  # (V, C)
    scale: Floats  # (V,)

    def lookup(self, ids: Ids) -> Floats:
        """(...) -> (..., C)"""
        return self.rows[ids].astype(np.float32) * self.scale[ids][..., None]

    def scores(self, hidden: Floats, ids: Ids | None) -> Floats:
        """(N, C) -> (N, K), or (N, V) where ids is None"""
        if ids is None:
            return hidden @ self._wide.T * self.scale
        return hidden @ self.rows[ids].astype(np.float32).T * self.scale[ids]

    @cached_property
    def _wide(self) -> Floats:
        # Made at the first choice among the whole vocabulary; copy-constrained decoding makes none.
        return self.rows.astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class Embedding:
    """Input and output tables: the same one where the checkpoint ties them."""

    tokens: Table
    head: Table

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read embedding.safetensors."""
        path = directory / EMBEDDING
        if not path.is_file():
            raise WeightsMissing(f"{path} is not there: export the model again.")
        tensors = load_file(path)
        tokens = Table(tensors["tokens"], tensors["tokens.scale"])
        head = Table(tensors["head"], tensors["head.scale"]) if "head" in tensors else tokens
        return cls(tokens, head)
