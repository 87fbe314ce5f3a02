"""A prepared call: kernels with their grids and arguments, and the tensors they fill. Knows no operation.

An operation is `plan(...).run()`. Whoever calls it again and again on the same buffers keeps the plan; whoever
compiles ahead of time reads from it what would be launched.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

Result = TypeVar("Result")


def ceil_div(size: int, block: int) -> int:
    """Blocks that hold so many."""
    return -(-size // block)


def power_of_two(size: int) -> int:
    """The first one that is not below `size`: what a block's sizes must be."""
    return 1 << max(0, size - 1).bit_length()


class Kernel(Protocol):
    """What `triton.jit` makes of a function."""

    @property
    def __name__(self) -> str: ...

    def __getitem__(self, grid: tuple[int, ...], /) -> Callable[..., Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One launch. Block sizes are constants: a kernel is compiled anew for each set of them."""

    kernel: Kernel
    grid: tuple[int, ...]
    arguments: Mapping[str, Tensor | int | float]
    constants: Mapping[str, int]
    num_warps: int = 4
    num_stages: int = 2

    def run(self) -> None:
        """On the current stream; without programs nothing is launched."""
        if 0 in self.grid:
            return
        options = {"num_warps": self.num_warps, "num_stages": self.num_stages}
        self.kernel[self.grid](**self.arguments, **self.constants, **options)


@dataclass(frozen=True, slots=True)
class Plan(Generic[Result]):
    """Launches, in order, and what they leave."""

    launches: tuple[Launch, ...]
    result: Result

    def run(self) -> Result:
        """Launch all; the result is ready when the stream has got there."""
        for launch in self.launches:
            launch.run()
        return self.result
