"""T5's norm, alone or with the residual addition before it, in float32 inside.

RMSNorm: Zhang & Sennrich 2019, arXiv 1910.07467.
Between two sublayers T5 adds and then norms: fused, the residual stream is read and written once.
Specification: `reference.rms_norm`, `reference.add_rms_norm`.

Shapes: R rows · C hidden.
"""

# Triton's language is untyped:
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportMissingTypeStubs=false

import torch
import triton
import triton.language as tl
from torch import Tensor

from qdts.errors import Unsupported
from qdts.kernels.arguments import FLOATS, check, check_devices
from qdts.kernels.cost import Cost
from qdts.kernels.plan import Launch, Plan, power_of_two
from qdts.kernels.reference import AddedNorm

MAX_WIDTH = 8192  # a row is held in registers


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x (R, C) / rms(x) * weight (C,) -> (R, C)."""
    return plan(x, None, weight, epsilon).run().normed


def add_rms_norm(stream: Tensor, update: Tensor, weight: Tensor, epsilon: float) -> AddedNorm:
    """The residual stream (R, C) plus the update (R, C), a new tensor, and its norm."""
    return plan(stream, update, weight, epsilon).run()


def plan(stream: Tensor, update: Tensor | None, weight: Tensor, epsilon: float) -> Plan[AddedNorm]:
    """The launch of `add_rms_norm`, or without an update of `rms_norm`: the stream is then the one given."""
    check("stream", stream, (None, None), FLOATS)
    num_rows, width = stream.shape
    check("weight", weight, (width,), FLOATS)
    check_devices(stream=stream, weight=weight)
    if not 1 <= width <= MAX_WIDTH:
        raise Unsupported(f"a row must have from 1 to {MAX_WIDTH} numbers, has {width}")
    if update is not None:
        check("update", update, stream.shape, (stream.dtype,))
        check_devices(stream=stream, update=update)
    result = AddedNorm(stream if update is None else torch.empty_like(stream), torch.empty_like(stream))
    block = power_of_two(width)
    launch = Launch(
        kernel=add_rms_norm_kernel,
        grid=(num_rows,),
        arguments={
            "stream_ptr": stream,
            "update_ptr": stream if update is None else update,
            "weight_ptr": weight,
            "added_ptr": result.stream,
            "normed_ptr": result.normed,
            "width": width,
            "epsilon": epsilon,
        },
        constants={"WIDTH": block, "ADDS": update is not None},
        num_warps=min(8, max(1, block // 256)),
    )
    return Plan((launch,), result)


def cost(*, num_rows: int, width: int, item_bytes: int, adds: bool = True) -> Cost:
    """Two tensors read and two written, or one and one; a handful of operations per number."""
    return Cost(
        num_bytes=(num_rows * width * (4 if adds else 2) + width) * item_bytes,
        num_flops=num_rows * width * (5 if adds else 4),
    )


@triton.jit
def add_rms_norm_kernel(
    stream_ptr,
    update_ptr,
    weight_ptr,
    added_ptr,
    normed_ptr,
    width,
    epsilon,
    WIDTH: tl.constexpr,
    ADDS: tl.constexpr,
):
    """Program r: row r."""
    column = tl.arange(0, WIDTH)
    inside = column < width
    offsets = tl.program_id(0).to(tl.int64) * width + column
    x = tl.load(stream_ptr + offsets, mask=inside, other=0.0).to(tl.float32)
    if ADDS:
        x += tl.load(update_ptr + offsets, mask=inside, other=0.0).to(tl.float32)
        added = x.to(added_ptr.dtype.element_ty)
        tl.store(added_ptr + offsets, added, mask=inside)
        # The norm is that of the stream as it is kept, rounding included.
        x = added.to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, 0) / width + epsilon)
    quotient = (x * scale).to(normed_ptr.dtype.element_ty).to(tl.float32)
    weight = tl.load(weight_ptr + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed_ptr + offsets, (quotient * weight).to(normed_ptr.dtype.element_ty), mask=inside)
