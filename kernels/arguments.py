"""Checks of what an operation is given: shapes, types, memory layout. Values on the device are never read.

A ValueError means that arguments do not fit one another, `Unsupported` that no kernel is written for their size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from qdts.errors import Unsupported

FLOATS = (torch.float16, torch.bfloat16, torch.float32)
INDICES = (torch.int32,)
MIN_HEAD_DIM, MAX_HEAD_DIM = 16, 128
MAX_TOKENS = 64  # drafted tokens of one sequence and step


def check(name: str, tensor: Tensor, shape: Sequence[int | None], dtypes: Sequence[torch.dtype]) -> None:
    """ValueError unless contiguous, of this shape (None: any size) and of one of these types."""
    sizes = zip(shape, tensor.shape, strict=False)
    if tensor.dim() != len(shape) or any(wanted not in (None, size) for wanted, size in sizes):
        raise ValueError(f"{name} must have the shape {_show(shape)}, has {_show(tensor.shape)}")
    if tensor.dtype not in dtypes:
        raise ValueError(f"{name} must be one of {', '.join(map(str, dtypes))}, is {tensor.dtype}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name} must be contiguous, has strides {tensor.stride()}")


def check_devices(**tensors: Tensor) -> None:
    """ValueError unless all lie on the first one's device."""
    (first, one), *others = tensors.items()
    for name, tensor in others:
        if tensor.device != one.device:
            raise ValueError(f"{name} must be on {one.device} like {first}, is on {tensor.device}")


def check_head_dim(size: int) -> None:
    """Unsupported unless a power of two in [16, 128]."""
    if not MIN_HEAD_DIM <= size <= MAX_HEAD_DIM or size & (size - 1):
        raise Unsupported(f"head_dim must be a power of two from {MIN_HEAD_DIM} to {MAX_HEAD_DIM}, is {size}")


def check_num_tokens(size: int) -> None:
    """Unsupported unless in [1, 64]."""
    if not 1 <= size <= MAX_TOKENS:
        raise Unsupported(f"num_tokens must be from 1 to {MAX_TOKENS}, is {size}")


def check_bias(bias: Tensor, num_heads: int) -> int:
    """The largest distance M that a table (H, 2 M + 1) of float32 tells from those beyond it."""
    check("bias", bias, (num_heads, None), (torch.float32,))
    if bias.shape[1] % 2 == 0:
        raise ValueError(f"bias must have an odd number of columns, one per distance in [-M, M], has {bias.shape[1]}")
    return bias.shape[1] // 2


def _show(shape: Sequence[int | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
