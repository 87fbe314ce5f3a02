"""Rows that come and go against a plain list of rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.runtimes.base import Floats
from qdts.models.runtimes.batching import close_gaps
from qdts.models.runtimes.row_arrays import RowArrays
from qdts.models.runtimes.slots import SlotCache

NUM_HEADS, HEAD_DIM = 2, 3


def make_row(number: int, length: int) -> Floats:
    return np.random.default_rng(number).normal(size=(NUM_HEADS, length, HEAD_DIM)).astype(np.float32)


def assert_holds(arrays: RowArrays, rows: list[Floats]) -> None:
    for array, sign in zip(arrays.used, (1, -1), strict=True):
        assert array.flags.c_contiguous and array.shape[:2] == (len(rows), NUM_HEADS)
        for own, row in zip(array, rows, strict=True):
            np.testing.assert_array_equal(own[:, : row.shape[1]], sign * row)


@given(data=st.data())
def test_rows_are_what_a_list_of_them_is(data: st.DataObject) -> None:
    rows = [make_row(0, 5)]
    arrays = RowArrays([rows[0][None].copy(), -rows[0][None]])
    for number in range(1, data.draw(st.integers(1, 9), label="turns")):
        leaving = np.array(
            sorted(data.draw(st.sets(st.integers(0, len(rows) - 1)), label="leave") if rows else []), int
        )
        kept = close_gaps(len(rows), leaving)
        arrays.take(kept)
        rows = [rows[row] for row in kept]
        length = data.draw(st.integers(1, 9), label="length")
        arrays.resize(len(rows) + 1, max(length, *(row.shape[1] for row in rows), 1))
        rows.append(make_row(number, length))
        for array, sign in zip(arrays.used, (1, -1), strict=True):
            array[-1, :, :length] = sign * rows[-1]
        assert_holds(arrays, rows)


def test_what_stays_is_not_copied() -> None:
    arrays = RowArrays([np.zeros((4, NUM_HEADS, 5, HEAD_DIM), np.float32)])
    (before,) = arrays.used
    arrays.take(np.array([0, 3, 2]))
    arrays.resize(4, 5)
    (after,) = arrays.used
    assert after.base is before.base and after.ctypes.data == before.ctypes.data


def test_slots_that_are_far_too_many_are_given_back() -> None:
    cache = SlotCache(2, 2, NUM_HEADS, HEAD_DIM)
    new = np.random.default_rng(1).normal(size=(2, NUM_HEADS, 100, HEAD_DIM)).astype(np.float32)
    cache.append(np.arange(2), [new, -new], np.array([100, 7]))
    assert cache.arrays[0].shape == (2, NUM_HEADS, 128, HEAD_DIM)
    cache.take(np.array([1]))
    assert cache.arrays[0].shape == (1, NUM_HEADS, 32, HEAD_DIM)
    np.testing.assert_array_equal(cache.arrays[1][0, :, :7], -new[1, :, :7])
    cache.join(2)
    assert cache.lengths.tolist() == [7, 0, 0]
