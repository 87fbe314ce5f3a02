"""What the decoder reads of documents that come and go: as little as there is, and nothing copied without need."""

from typing import Any

import numpy as np
import pytest

from qdts.models.runtimes.base import Floats, Noise
from qdts.models.runtimes.onnx_batch import OnnxBatch
from qdts.models.runtimes.slots import SlotCache

NUM_HEADS, HEAD_DIM = 2, 3


def document(length: int) -> list[Floats]:
    """Keys and values of a layer, told by the length."""
    random = np.random.default_rng(length)
    return [random.normal(size=(NUM_HEADS, length, HEAD_DIM)).astype(np.float32) for _ in range(2)]


def open_batch(*lengths: int) -> OnnxBatch:
    return OnnxBatch([document(length) for length in lengths], SlotCache(2, len(lengths), NUM_HEADS, HEAD_DIM), ())


def assert_reads(batch: OnnxBatch, *lengths: int) -> None:
    rows = np.arange(len(lengths))
    assert len(batch.lengths) == len(rows)
    read = batch.documents(rows)
    assert read.mask.sum(-1).tolist() == list(lengths)
    for row, length in enumerate(lengths):
        for array, own in zip(read.arrays, document(length), strict=True):
            np.testing.assert_array_equal(array[row, :, :length], own)


def test_one_document_is_not_copied() -> None:
    own = document(7)
    batch = OnnxBatch([own], SlotCache(2, 1, NUM_HEADS, HEAD_DIM), ())
    assert np.shares_memory(batch.documents(np.array([0])).arrays[0], own[0])


def test_documents_come_and_go() -> None:
    batch = open_batch(7, 3)
    batch.join([document(9), document(2)], ())
    assert_reads(batch, 7, 3, 9, 2)
    assert batch.leave(np.array([1])).tolist() == [0, 3, 2]
    assert_reads(batch, 7, 2, 9)


def test_all_are_as_long_as_the_longest_that_is_left() -> None:
    batch = open_batch(100, 40, 95)
    batch.leave(np.array([0]))
    assert batch.documents(np.arange(2)).mask.shape == (2, 100), "a little padding is not worth a copy"
    batch.leave(np.array([0]))
    assert batch.documents(np.arange(1)).mask.shape == (1, 40)
    assert_reads(batch, 40)


def test_without_a_change_nothing_is_copied() -> None:
    batch = open_batch(7, 3, 5)
    before = batch.documents(np.arange(3))
    some = batch.documents(np.array([1, 2]))
    assert batch.documents(np.array([1, 2])) is some and some.mask.shape == (2, 5)
    assert batch.documents(np.arange(3)).arrays[0] is before.arrays[0]


def test_a_join_that_runs_out_of_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = open_batch(7, 3)

    def fail(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(batch.cache, "join", fail)
        batch.join([document(9)], [Noise(seed=1, temperature=1.0)])
    assert_reads(batch, 7, 3)
    batch.join([document(5)], ())
    assert_reads(batch, 7, 3, 5)
    assert not batch.noise
