"""T5's norm, alone or with the residual addition before it, in float32 inside.

RMSNorm: Zhang & Sennrich 2019, arXiv 1910.07467.
Between two sublayers T5 adds and then norms: fused, the residual stream is read and written once. It may be float32
where what is multiplied has 16 bits: T5's streams outgrow float16.
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


def rms_norm(x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype | None = None) -> Tensor:
    """x (R, C) / rms(x) * weight (C,) -> (R, C) in `dtype`, by default that of x."""
    return plan(x, None, weight, epsilon, dtype).run().normed


def add_rms_norm(stream: Tensor, update: Tensor, weight: Tensor, epsilon: float) -> AddedNorm:
    """The residual stream (R, C) plus the update (R, C), a new tensor, and its norm in the update's type."""
    return plan(stream, update, weight, epsilon).run()


def plan(
    stream: Tensor, update: Tensor | None, weight: Tensor, epsilon: float, dtype: torch.dtype | None = None
) -> Plan[AddedNorm]:
    """The launch of `add_rms_norm`, or without an update of `rms_norm`: the stream is then the one given."""
    check("stream", stream, (None, None), FLOATS)
    width = stream.shape[1]
    check("weight", weight, (width,), FLOATS)
    check_devices(stream=stream, weight=weight)
    if not 1 <= width <= MAX_WIDTH:
        raise Unsupported(f"a row must have from 1 to {MAX_WIDTH} numbers, has {width}")
    if update is not None:
        check("update", update, stream.shape, (dtype,) if dtype else FLOATS)
        check_devices(stream=stream, update=update)
    normed = torch.empty_like(stream, dtype=dtype or (stream if update is None else update).dtype)
    result = AddedNorm(stream if update is None else torch.empty_like(stream), normed)
    return Plan((_launch(stream, update, weight, result, epsilon),), result)


def _launch(stream: Tensor, update: Tensor | None, weight: Tensor, result: AddedNorm, epsilon: float) -> Launch:
    num_rows, width = stream.shape
    block = power_of_two(width)
    return Launch(
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


def cost(*, num_rows: int, width: int, item_bytes: int, adds: bool = True, stream_bytes: int | None = None) -> Cost:
    """The stream read, written if something was added, the update, the norm; a handful of operations per number."""
    stream_bytes = stream_bytes or item_bytes
    per_number = 2 * (stream_bytes + item_bytes) if adds else stream_bytes + item_bytes
    return Cost(
        num_bytes=num_rows * width * per_number + width * item_bytes,
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
