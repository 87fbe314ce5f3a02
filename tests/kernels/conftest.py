"""Kernels run on the GPU where there is one, else in Triton's interpreter: chosen before Triton is imported."""

import os
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

INTERPRETED = not torch.cuda.is_available()
if INTERPRETED and os.environ.get("TRITON_INTERPRET") != "1":
    assert "triton" not in sys.modules, "triton was imported before the interpreter could be chosen"
    os.environ["TRITON_INTERPRET"] = "1"

# Relative and absolute: rounding of the result and, within a sum, of what is rounded before a product.
TOLERANCES = {torch.float32: 2e-5, torch.float16: 3e-3, torch.bfloat16: 3e-2}


@pytest.fixture(scope="session", autouse=True)
def _interpreted(request: pytest.FixtureRequest) -> None:
    if INTERPRETED:
        request.getfixturevalue("quick_interpreter")


@pytest.fixture
def device() -> torch.device:
    return torch.device("cpu" if INTERPRETED else "cuda")


@pytest.fixture(
    params=[
        pytest.param(torch.float32, id="fp32"),
        pytest.param(torch.float16, id="fp16"),
        pytest.param(
            torch.bfloat16,
            id="bf16",
            marks=pytest.mark.skipif(INTERPRETED, reason="Triton's interpreter multiplies bfloat16 matrices wrongly"),
        ),
    ]
)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture
def rand(device: torch.device, dtype: torch.dtype) -> Callable[..., Tensor]:
    """Normal numbers of a shape, the same in every run."""
    generator = torch.Generator().manual_seed(7)
    return lambda *shape: torch.randn(*shape, generator=generator).to(device, dtype)


@pytest.fixture
def int32(device: torch.device) -> Callable[..., Tensor]:
    return lambda values: torch.tensor(values, dtype=torch.int32, device=device)


@pytest.fixture
def assert_close() -> Callable[[Tensor, Tensor], None]:
    def compare(actual: Tensor, expected: Tensor) -> None:
        tolerance = TOLERANCES[expected.dtype]
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)

    return compare
