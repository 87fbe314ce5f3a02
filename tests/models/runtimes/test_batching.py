"""Padding."""

import numpy as np

from qdts.models.runtimes.batching import length_mask, pad_floats, pad_ids


def test_ids_are_padded_with_a_mask() -> None:
    ids, mask = pad_ids([np.array([4, 5, 6]), np.array([7])])
    assert ids.tolist() == [[4, 5, 6], [7, 0, 0]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    assert length_mask([2, 0]).tolist() == [[True, True], [False, False]]


def test_floats_are_padded_along_an_axis() -> None:
    short, long = np.ones((2, 1, 3), np.float32), np.ones((2, 4, 3), np.float32)
    padded = pad_floats([short, long], axis=1)
    assert padded.shape == (2, 2, 4, 3)
    assert padded[0].sum() == short.sum()
    assert padded[0, :, 0].all()
