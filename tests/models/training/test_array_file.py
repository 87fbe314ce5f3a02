"""What was appended is what numpy reads, whatever the pieces."""

from pathlib import Path

import numpy as np
import pytest

from qdts.models.training.array_file import ArrayFile


@pytest.mark.parametrize("sizes", [[], [0], [3, 0, 1], [1] * 1001])
@pytest.mark.parametrize(("dtype", "width"), [("uint16", None), ("float16", 5), ("int64", None)])
def test_pieces_become_one_array(sizes: list[int], dtype: str, width: int | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tail = () if width is None else (width,)
    pieces = [rng.integers(0, 1000, (size, *tail)) for size in sizes]
    with ArrayFile(tmp_path / "a.npy", dtype, width) as file:
        for piece in pieces:
            file.append(piece)
    expected = np.concatenate([np.zeros((0, *tail)), *pieces]).astype(dtype)
    assert file.length == len(expected)
    for mode in (None, "r"):
        if len(expected) or mode is None:  # nothing cannot be mapped
            found = np.load(tmp_path / "a.npy", mmap_mode=mode)
            assert found.dtype == expected.dtype and np.array_equal(found, expected)
