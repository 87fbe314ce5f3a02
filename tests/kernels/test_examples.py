"""Examples are what they claim to be: the plan and the specification agree on the same inputs, at small sizes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="kernels need Triton")
from qdts.kernels.examples import Examples, Sizes  # noqa: E402

SMALL = Sizes(
    width=32,
    num_heads=2,
    head_dim=16,
    inner=40,
    num_words=150,
    limit=6,
    num_documents=2,
    longest=40,
    num_tokens=3,
    num_slots=6,
    num_permitted=9,
)
NAMES = Examples(torch.device("cpu"), torch.float32, SMALL).names


@pytest.mark.parametrize("name", NAMES)
def test_plan_and_specification_agree(name: str, device: torch.device, assert_close: Callable[..., None]) -> None:
    torch.manual_seed(1)
    example = Examples(device, torch.float32, SMALL).make(name)

    def compare(actual: Any, expected: Any) -> None:
        if isinstance(actual, tuple):
            for pair in zip(actual, expected, strict=True):
                compare(*pair)
        elif actual.dtype == torch.int64:
            assert torch.equal(actual, expected)
        else:
            assert_close(actual, expected)

    compare(example.plan.run(), example.reference())
    assert example.cost.num_bytes > 0
    assert example.cost.num_flops > 0


def test_documents_differ_by_a_third_at_most() -> None:
    sizes = Sizes()
    assert sizes.num_heads * sizes.head_dim == sizes.width
    assert len(sizes.lengths) == sizes.num_documents
    assert 2 * sizes.longest // 3 <= min(sizes.lengths) <= max(sizes.lengths) == sizes.longest
