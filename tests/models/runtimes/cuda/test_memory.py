"""Rows of fixed place do what the cache in numpy does (runtimes/slots.py), whoever has them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qdts.errors import Unsupported
from qdts.models.nets.config import T5Config
from qdts.models.runtimes.cuda.memory import RowMemory
from qdts.models.runtimes.cuda.shapes import CudaShapes
from qdts.models.runtimes.slots import SlotCache

NUM_HEADS, HEAD_DIM = 2, 3
CONFIG = T5Config(
    vocab_size=8, d_model=6, d_kv=HEAD_DIM, d_ff=4, num_layers=1, num_decoder_layers=2, num_heads=NUM_HEADS
)
SHAPES = CudaShapes(max_rows=4, max_document=5, max_step=8, max_slots=64, max_tokens=8)


def open_memory(*, quantized: bool = False) -> RowMemory:
    return RowMemory(CONFIG, SHAPES, torch.float32, torch.device("cpu"), quantized=quantized)


@given(data=st.data())
def test_any_steps_leave_what_numpy_leaves(data: st.DataObject) -> None:
    memory, oracle = open_memory(), SlotCache(4, 3, NUM_HEADS, HEAD_DIM)
    memory.take(data.draw(st.integers(0, 1)))  # somebody else's
    rows = memory.take(3)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    for _ in range(data.draw(st.integers(1, 6))):
        width = data.draw(st.integers(1, 8))
        counts = np.array([data.draw(st.integers(0, width)) for _ in rows])
        new = [random.normal(size=(3, NUM_HEADS, width, HEAD_DIM)).astype(np.float32) for _ in range(4)]
        places = torch.from_numpy(memory.places(rows, counts, width)).flatten()
        held = [each for pair in memory.past for each in pair]
        for tensor, fresh in zip(held, new, strict=True):
            tensor.flatten(0, 1).index_copy_(0, places, torch.from_numpy(fresh).transpose(1, 2).flatten(0, 1))
        memory.append(rows, counts)
        oracle.append(np.arange(3), new, counts)
        if data.draw(st.booleans()):
            kept = [np.array(sorted(data.draw(st.sets(st.integers(0, n - 1)))) if n else [], int) for n in counts]
            memory.keep(rows, kept)
            oracle.keep(kept)
        assert memory.lengths[rows].tolist() == oracle.lengths.tolist()
        for tensor, theirs in zip(held, oracle.arrays, strict=True):
            for index, (row, length) in enumerate(zip(rows, oracle.lengths, strict=True)):
                np.testing.assert_array_equal(tensor[row, :length].transpose(0, 1).numpy(), theirs[index, :, :length])


@pytest.mark.parametrize("quantized", [False, True], ids=["float", "int8"])
def test_documents_lie_where_their_rows_begin(quantized: bool) -> None:
    memory = open_memory(quantized=quantized)
    addresses = [layer.key.data_ptr() for layer in memory.documents]
    projected = torch.randn(4, 6, NUM_HEADS, HEAD_DIM)
    rows = memory.take(2)
    memory.write_documents(rows, [5, 1], projected)
    assert memory.document_lengths[rows].tolist() == [5, 1]
    first, second = memory.starts(rows).tolist()
    for index, layer in enumerate(memory.documents):
        for held, scale, expected in (
            (layer.key, layer.key_scale, projected[2 * index]),
            (layer.value, layer.value_scale, projected[2 * index + 1]),
        ):
            assert (held.dtype == torch.int8) == (scale is not None) == quantized
            worth = held.float() if scale is None else held * scale[:, None, None]
            found = torch.cat([worth[first : first + 5], worth[second : second + 1]])
            error = 0.0 if scale is None else expected.abs().amax().item() / 250
            torch.testing.assert_close(found, expected, rtol=0, atol=error)
    assert [layer.key.data_ptr() for layer in memory.documents] == addresses


def test_what_padding_computes_is_never_read() -> None:
    memory = open_memory()
    rows = memory.take(1)
    memory.append(rows, np.array([3]))
    lanes = np.array([rows[0], memory.nobody])
    assert memory.places(lanes, np.array([2, 0]), 4).tolist() == [
        [rows[0] * 64 + 3, rows[0] * 64 + 4, rows[0] * 64 + 63, rows[0] * 64 + 63],
        [memory.nobody * 64 + 63] * 4,
    ]


def test_rows_are_taken_given_back_and_taken_again() -> None:
    memory = open_memory()
    rows = memory.take(4)
    assert sorted(rows.tolist()) == [0, 1, 2, 3]
    memory.append(rows, np.full(4, 2))
    with pytest.raises(Unsupported, match="1 sequences more: the runtime holds 4 at a time, 0 of them are free"):
        memory.take(1)
    memory.give([int(rows[2])])
    assert memory.num_free == 1
    assert memory.lengths[memory.take(1)].tolist() == [0]
