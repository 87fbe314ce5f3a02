"""Compile every kernel for devices that are not here: what no interpreter sees, types and shared memory, shows up.

    python -m qdts.kernels.ahead_of_time

prints a line of JSON per kernel and target. Compiled is what `examples` would launch, block sizes included.
"""

# Triton's compiler is untyped:
# pyright: reportMissingTypeStubs=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from qdts.errors import Unsupported
from qdts.kernels.examples import Examples, Sizes
from qdts.kernels.plan import Launch

# Bytes of shared memory that a block of threads may have, by compute capability (CUDA C++ Programming Guide, table
# "Technical Specifications per Compute Capability"): A100, L20 and other Ada, H100 and H200.
SHARED_LIMITS = {80: 163 * 1024, 89: 99 * 1024, 90: 227 * 1024}
# Short documents and few sequences: kernels depend on how many rows, tokens and numbers there are, not on these.
_SIZES = Sizes(num_documents=16, longest=16)
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_TYPES = {
    **{dtype: name for name, dtype in DTYPES.items()},
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.int32: "i32",
    torch.int64: "i64",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """One kernel for one compute capability (89: sm_89)."""

    kernel: str
    capability: int
    shared_bytes: int
    binary_bytes: int


def compile_launch(launch: Launch, capability: int) -> Compiled:
    """What the launch would run there. Unsupported under TRITON_INTERPRET: nothing is compiled then."""
    kernel = cast(Any, launch.kernel)
    if not isinstance(kernel, triton.JITFunction):
        raise Unsupported("kernels are interpreted in this process: unset TRITON_INTERPRET")
    names: list[str] = kernel.arg_names
    signature = {name: _type_of(launch.arguments[name]) if name in launch.arguments else "constexpr" for name in names}
    aligned = {
        (names.index(name),): [["tt.divisibility", 16]]
        for name, value in launch.arguments.items()
        if isinstance(value, Tensor) or (isinstance(value, int) and value % 16 == 0)
    }
    source = ASTSource(kernel, signature, dict(launch.constants), aligned)
    options = {"num_warps": launch.num_warps, "num_stages": launch.num_stages}
    binary = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return Compiled(
        kernel=launch.kernel.__name__,
        capability=capability,
        shared_bytes=binary.metadata.shared,
        binary_bytes=len(binary.asm["cubin"]),
    )


def compile_all(capability: int, dtype: torch.dtype = torch.float16) -> Iterator[Compiled]:
    """Every launch of every example."""
    examples = Examples(torch.device("cpu"), dtype, _SIZES)
    for name in examples.names:
        for launch in examples.make(name).plan.launches:
            yield compile_launch(launch, capability)


def _type_of(argument: Tensor | int | float) -> str:
    if isinstance(argument, Tensor):
        return f"*{_TYPES[argument.dtype]}"
    return "fp32" if isinstance(argument, float) else "i32"


def main(argv: Sequence[str] | None = None) -> int:
    """Compile and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--capabilities", nargs="+", type=int, choices=SHARED_LIMITS, default=list(SHARED_LIMITS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    args = parser.parse_args(argv)
    for capability in args.capabilities:
        for name in args.dtypes:
            for compiled in compile_all(capability, DTYPES[name]):
                print(json.dumps(asdict(compiled) | {"dtype": name}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
