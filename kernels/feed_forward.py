"""What stands between the two products of T5's feed-forward layers: gelu_new(a) * b (v1.1), gelu(a) (v1.0).

The gate's two halves may be two tensors or the halves of one product's result (R, 2 F): rows need not lie end to end.
GELU: Hendrycks & Gimpel 2016, arXiv 1606.08415; gated: Shazeer 2020, arXiv 2002.05202.
Specification: `reference.gated_gelu`, `reference.exact_gelu`.

Shapes: R rows · F inner width.
"""

# Triton's language is untyped:
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportMissingTypeStubs=false

import triton
import triton.language as tl
from torch import Tensor

from qdts.kernels.arguments import FLOATS, check_devices
from qdts.kernels.cost import Cost
from qdts.kernels.plan import Launch, Plan, ceil_div

BLOCK = 1024


def gated_gelu(gate: Tensor, linear: Tensor) -> Tensor:
    """gelu_new(gate) * linear, both (R, F), each row contiguous -> (R, F)."""
    return plan(gate, linear).run()


def exact_gelu(x: Tensor) -> Tensor:
    """x (R, F), each row contiguous, times the normal distribution's share below x -> (R, F)."""
    return plan(x, None).run()


def plan(x: Tensor, linear: Tensor | None) -> Plan[Tensor]:
    """The launch of `gated_gelu`, or without a linear half of `exact_gelu`."""
    _check_rows("gate" if linear is not None else "x", x)
    if linear is not None:
        _check_rows("linear", linear)
        if linear.shape != x.shape or linear.dtype != x.dtype:
            found = f"{tuple(linear.shape)} of {linear.dtype}"
            raise ValueError(f"linear must be {tuple(x.shape)} of {x.dtype} like gate, is {found}")
        check_devices(gate=x, linear=linear)
    num_rows, width = x.shape
    out = x.new_empty((num_rows, width))
    gated = linear is not None
    arguments: dict[str, Tensor | int] = {"out_ptr": out, "width": width, "x_stride": x.stride(0), "x_ptr": x}
    if linear is not None:
        arguments |= {"linear_ptr": linear, "linear_stride": linear.stride(0)}
    launch = Launch(
        kernel=gated_gelu_kernel if gated else exact_gelu_kernel,
        grid=(num_rows, ceil_div(width, BLOCK)),
        arguments=arguments,
        constants={"BLOCK": BLOCK},
    )
    return Plan((launch,), out)


def cost(*, num_rows: int, width: int, item_bytes: int, gated: bool = True) -> Cost:
    """One or two tensors read, one written; about ten operations a number."""
    return Cost(
        num_bytes=(3 if gated else 2) * num_rows * width * item_bytes,
        num_flops=10 * num_rows * width,
    )


def _check_rows(name: str, tensor: Tensor) -> None:
    if tensor.dim() != 2 or tensor.stride(1) != 1:
        raise ValueError(f"{name} must be (rows, width) with contiguous rows, is {tuple(tensor.shape)}")
    if tensor.dtype not in FLOATS:
        raise ValueError(f"{name} must be one of {', '.join(map(str, FLOATS))}, is {tensor.dtype}")


@triton.jit
def gated_gelu_kernel(x_ptr, linear_ptr, out_ptr, width, x_stride, linear_stride, BLOCK: tl.constexpr):
    """Program (r, i): block i of row r."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    x = tl.load(x_ptr + row * x_stride + column, mask=inside, other=0.0).to(tl.float32)
    linear = tl.load(linear_ptr + row * linear_stride + column, mask=inside, other=0.0).to(tl.float32)
    # (1 + tanh u) / 2 is sigmoid(2 u).
    out = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x)) * linear
    tl.store(out_ptr + row * width + column, out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def exact_gelu_kernel(x_ptr, out_ptr, width, x_stride, BLOCK: tl.constexpr):
    """Program (r, i): block i of row r."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    x = tl.load(x_ptr + row * x_stride + column, mask=inside, other=0.0).to(tl.float32)
    out = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    tl.store(out_ptr + row * width + column, out.to(out_ptr.dtype.element_ty), mask=inside)
