"""Inputs share a block, each where kernels read it well, and new numbers come to the same place."""

import numpy as np
import pytest
import torch

from qdts.models.runtimes.cuda.buffers import Buffers

SPEC = {
    "flags": ((3, 5), torch.bool),
    "ids": ((7,), torch.int32),
    "places": ((2, 2), torch.int64),
    "weights": ((3,), torch.float16),
}


def fill(buffers: Buffers, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    arrays = {name: random.integers(0, 2, shape) for name, (shape, _) in SPEC.items()}
    buffers.fill(arrays)
    return arrays


def test_every_input_has_its_numbers_shape_and_type() -> None:
    buffers = Buffers(SPEC, torch.device("cpu"))
    for seed in range(3):
        arrays = fill(buffers, seed)
        for name, (shape, dtype) in SPEC.items():
            tensor = buffers.tensors[name]
            assert (tuple(tensor.shape), tensor.dtype) == (shape, dtype)
            assert tensor.long().numpy().tolist() == arrays[name].tolist()


def test_addresses_stay_and_are_aligned() -> None:
    buffers = Buffers(SPEC, torch.device("cpu"))
    before = [tensor.data_ptr() for tensor in buffers.tensors.values()]
    fill(buffers, 1)
    assert [tensor.data_ptr() for tensor in buffers.tensors.values()] == before
    assert [address % 16 for address in before] == [0, 0, 0, 0]


def test_what_does_not_fit_is_our_mistake() -> None:
    buffers = Buffers({"ids": ((7,), torch.int32)}, torch.device("cpu"))
    with pytest.raises(AssertionError, match=r"ids: \(1,\), not \(7,\)"):
        buffers.fill({"ids": np.zeros(1)})
    with pytest.raises(AssertionError, match="is not"):
        buffers.fill({"ids": np.zeros(7), "more": np.zeros(7)})
