"""The package, its specification and its costs need no Triton; an operation does."""

import subprocess
import sys

import pytest

from qdts.kernels.cost import Cost, Peak
from qdts.kernels.plan import ceil_div, power_of_two


def test_triton_is_not_needed_before_an_operation() -> None:
    code = "import sys; sys.modules['triton'] = None; from qdts.kernels import arguments, cost, plan, reference"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_imports_no_torch() -> None:
    code = "import sys, qdts.kernels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_floor_is_the_slower_of_memory_and_arithmetic() -> None:
    peak = Peak(flops_per_s=1e12, bytes_per_s=1e9)
    assert Cost(num_bytes=2_000_000, num_flops=1_000_000).floor_ms(peak) == pytest.approx(2)
    assert Cost(num_bytes=1_000, num_flops=3 * 10**9).floor_ms(peak) == pytest.approx(3)


@pytest.mark.parametrize(("size", "blocks", "power"), [(0, 0, 1), (1, 1, 1), (5, 2, 8), (8, 2, 8), (9, 3, 16)])
def test_blocks(size: int, blocks: int, power: int) -> None:
    assert (ceil_div(size, 4), power_of_two(size)) == (blocks, power)
