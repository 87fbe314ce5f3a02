"""The cache on the device does what the one in numpy does (runtimes/slots.py), whatever is appended and kept."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.runtimes.batching import close_gaps
from qdts.models.runtimes.slots import SlotCache
from qdts.models.runtimes.tensorrt.slots import DeviceSlots

NUM_ROWS, NUM_HEADS, HEAD_DIM, MAX_SLOTS = 4, 2, 3, 192


def open_both() -> tuple[DeviceSlots, SlotCache]:
    arrays = [torch.zeros(NUM_ROWS, NUM_HEADS, 64, HEAD_DIM) for _ in range(2)]
    return DeviceSlots(arrays, MAX_SLOTS), SlotCache(2, NUM_ROWS, NUM_HEADS, HEAD_DIM)


def assert_same(device: DeviceSlots, oracle: SlotCache) -> None:
    num_rows = len(oracle.lengths)
    assert device.lengths.tolist() == [*oracle.lengths, *[0] * (len(device.lengths) - num_rows)]
    for ours, theirs in zip(device.arrays, oracle.arrays, strict=True):
        for row, length in enumerate(oracle.lengths):
            np.testing.assert_array_equal(ours[row, :, :length].numpy(), theirs[row, :, :length])


@given(data=st.data())
def test_any_steps_leave_what_numpy_leaves(data: st.DataObject) -> None:
    device, oracle = open_both()
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    for _ in range(data.draw(st.integers(1, 6))):
        rows = np.array(sorted(data.draw(st.sets(st.integers(0, NUM_ROWS - 1), min_size=1))))
        width = data.draw(st.integers(1, 24))
        counts = np.array([data.draw(st.integers(0, width)) for _ in rows])
        # A step computes more lanes than it was asked for, the first row again; they have nothing to say.
        lanes = np.concatenate([rows, np.full(NUM_ROWS - len(rows), rows[0])])
        new = [random.normal(size=(NUM_ROWS, NUM_HEADS, width, HEAD_DIM)).astype(np.float32) for _ in range(2)]
        lane_counts = np.concatenate([counts, np.zeros(NUM_ROWS - len(rows), np.int64)])
        device.reserve(int((device.lengths[lanes] + lane_counts).max()))
        device.append(lanes, [torch.from_numpy(each) for each in new], lane_counts)
        oracle.append(rows, [each[: len(rows)] for each in new], counts)
        assert_same(device, oracle)
        if data.draw(st.booleans()):
            written = np.zeros(NUM_ROWS, np.int64)
            written[rows] = counts
            kept = [
                np.array(sorted(data.draw(st.sets(st.integers(0, n - 1)))) if n else [], int) for n in written.tolist()
            ]
            device.keep(kept)
            oracle.keep(kept)
            assert_same(device, oracle)


@given(data=st.data())
def test_rows_come_and_go_as_they_do_in_numpy(data: st.DataObject) -> None:
    device, oracle = open_both()
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    for _ in range(data.draw(st.integers(1, 6))):
        num_rows = len(oracle.lengths)
        leaving = data.draw(st.sets(st.integers(0, num_rows - 1))) if num_rows else ()
        kept = close_gaps(num_rows, np.array(sorted(leaving), np.int64))
        device.take(kept)
        oracle.take(kept)
        assert_same(device, oracle)
        num_new = data.draw(st.integers(0 if len(kept) else 1, 3))
        device.reserve_rows(len(kept) + num_new)
        oracle.join(num_new)
        rows, width = np.arange(len(oracle.lengths)), data.draw(st.integers(1, 24))
        counts = np.array([data.draw(st.integers(0, width)) for _ in rows])
        new = [random.normal(size=(len(rows), NUM_HEADS, width, HEAD_DIM)).astype(np.float32) for _ in range(2)]
        device.reserve(int((device.lengths[rows] + counts).max()))
        device.append(rows, [torch.from_numpy(each) for each in new], counts)
        oracle.append(rows, new, counts)
        assert_same(device, oracle)


def test_slots_are_added_by_the_chunk_up_to_the_limit() -> None:
    device, _ = open_both()
    sizes: list[int] = []
    for num_tokens in (10, 63, 64, 130, 191):
        device.reserve(num_tokens)
        sizes.append(device.num_slots)
    assert sizes == [64, 64, 128, 192, 192]
