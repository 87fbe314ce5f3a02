"""The inputs of a program: arrays of fixed shape side by side in one block, which is brought to the device in one copy.

A step has seven small inputs: seven copies would take longer than some of its kernels.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

# What kernels read fastest, and what they were compiled for.
_ALIGNMENT = 16

Spec = Mapping[str, tuple[tuple[int, ...], torch.dtype]]


class Buffers:
    """`tensors` by name, at addresses that never change."""

    def __init__(self, spec: Spec, device: torch.device) -> None:
        offsets, total = dict[str, int](), 0
        for name, (shape, dtype) in spec.items():
            offsets[name] = total
            total += -(-math.prod(shape) * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT
        is_cuda = device.type == "cuda"
        self._host = torch.zeros(total, dtype=torch.uint8, pin_memory=is_cuda)
        self._block = torch.zeros(total, dtype=torch.uint8, device=device)
        # Until a copy is over, what it reads must not be written.
        self._copied = torch.cuda.Event() if is_cuda else None
        views = {name: (offsets[name], *spec[name]) for name in spec}
        self._arrays = {name: _view(self._host, *view).numpy() for name, view in views.items()}
        self.tensors = {name: _view(self._block, *view) for name, view in views.items()}

    def fill(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """New numbers for all of them; they are there when the stream has got so far."""
        assert arrays.keys() == self._arrays.keys(), f"{sorted(arrays)} is not {sorted(self._arrays)}"
        if self._copied is not None:
            self._copied.synchronize()
        for name, array in arrays.items():
            assert array.shape == self._arrays[name].shape, f"{name}: {array.shape}, not {self._arrays[name].shape}"
            self._arrays[name][...] = array
        self._block.copy_(self._host, non_blocking=True)
        if self._copied is not None:
            self._copied.record()


def _view(block: Tensor, offset: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return block[offset : offset + math.prod(shape) * dtype.itemsize].view(dtype).view(shape)
