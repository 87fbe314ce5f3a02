"""Sizes out of bounds are refused with their bound."""

import pytest

from qdts.models.runtimes.cuda.shapes import CudaShapes


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("max_rows", 48, "a power of two in"),
        ("max_step", 2048, "a power of two in"),
        ("max_document", 0, r"in \[1, 8192\]"),
        ("max_slots", 9000, r"in \[1, 8192\]"),
        ("max_tokens", 100, "at least max_document, 512, is 100"),
    ],
)
def test_a_size_out_of_bounds_names_the_bound(field: str, value: int, bound: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must .*{bound}"):
        CudaShapes(**{field: value})
