"""What is known of each token on its own: how rare it is, and a static vector of its meaning.

Query-free and tiny, so query and document can be compared without running a network: the interaction features
of `models/prompt.py` come from here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from qdts.errors import WeightsCorrupt
from qdts.models.runtimes.base import Floats, Ids


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`idf` (V,) inverse document frequency of each token; `vectors` (V, D) of unit length, kept as int8."""

    idf: Floats
    vectors: npt.NDArray[np.int8]

    @classmethod
    def load(cls, path: Path) -> "Lexicon":
        """Read lexicon.safetensors."""
        arrays = load_file(path)
        if set(arrays) != {"idf", "vectors"} or arrays["idf"].shape[0] != arrays["vectors"].shape[0]:
            raise WeightsCorrupt(f"{path.name}: expected idf (V,) and vectors (V, D), found {sorted(arrays)}")
        return cls(arrays["idf"].astype(np.float32), arrays["vectors"])

    def save(self, path: Path) -> None:
        """Write lexicon.safetensors."""
        save_file({"idf": self.idf, "vectors": self.vectors}, path)

    def unit_vectors(self, ids: Ids) -> Floats:
        """Ids (T,) -> (T, D) of unit length."""
        return cast(Floats, self.vectors[ids].astype(np.float32) / 127.0)

    def mean_vector(self, ids: Ids) -> Floats:
        """The idf-weighted mean of the tokens' vectors (D,), of unit length; zero for no tokens."""
        if not len(ids):
            return np.zeros((self.vectors.shape[1],), np.float32)
        mean = cast(Floats, self.idf[ids] @ self.unit_vectors(ids))
        return cast(Floats, mean / max(1e-6, float(np.linalg.norm(mean))))
