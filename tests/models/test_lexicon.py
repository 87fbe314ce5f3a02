"""A lexicon is read as it was written; vectors of texts are idf-weighted means of unit length."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from qdts.errors import WeightsCorrupt
from qdts.models.lexicon import Lexicon

IDF = np.array([0.5, 1.0, 0.25], np.float32)
VECTORS = np.array([[127, 0], [0, 127], [0, -127]], np.int8)
LEXICON = Lexicon(IDF, VECTORS)


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_written_and_read(tmp_path: Path) -> None:
    LEXICON.save(tmp_path / "lexicon.safetensors")
    read = Lexicon.load(tmp_path / "lexicon.safetensors")
    assert (read.idf == IDF).all() and (read.vectors == VECTORS).all()


@pytest.mark.parametrize(
    "arrays", [{"idf": IDF}, {"idf": IDF, "vectors": VECTORS[:2]}, {"idf": IDF, "vectors": VECTORS, "x": IDF}]
)
def test_anything_else_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    save_file(arrays, tmp_path / "lexicon.safetensors")
    with pytest.raises(WeightsCorrupt, match=r"lexicon.safetensors: expected idf"):
        Lexicon.load(tmp_path / "lexicon.safetensors")


def test_mean_vectors_are_weighted_by_idf() -> None:
    assert LEXICON.mean_vector(ids(0, 1)) == pytest.approx(np.array([0.5, 1.0]) / np.sqrt(1.25))
    assert LEXICON.mean_vector(ids()).tolist() == [0.0, 0.0]
