"""The activations against the specification, whole tensors and halves of one."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from qdts.kernels import reference

pytest.importorskip("triton", reason="kernels need Triton")
from qdts.kernels.feed_forward import cost, exact_gelu, gated_gelu, plan  # noqa: E402

Make = Callable[..., Tensor]
Compare = Callable[[Tensor, Tensor], None]


@pytest.mark.parametrize(("num_rows", "width"), [(1, 1), (3, 100), (2, 1024), (2, 1025), (0, 4)])
def test_they_are_the_specification(num_rows: int, width: int, rand: Make, assert_close: Compare) -> None:
    gate, linear = 2 * rand(num_rows, width), rand(num_rows, width)
    assert_close(gated_gelu(gate, linear), reference.gated_gelu(gate, linear))
    assert_close(exact_gelu(gate), reference.exact_gelu(gate))


def test_halves_of_one_product(rand: Make, assert_close: Compare) -> None:
    gate, linear = rand(5, 60).chunk(2, dim=1)
    actual = gated_gelu(gate, linear)
    assert actual.is_contiguous()
    assert_close(actual, reference.gated_gelu(gate, linear))
    assert_close(exact_gelu(gate), reference.exact_gelu(gate))


@pytest.mark.filterwarnings("ignore:overflow")
def test_far_from_zero_they_are_zero_or_the_argument(device: torch.device, dtype: torch.dtype) -> None:
    x = torch.tensor([[-200.0, -30.0, 0.0, 30.0, 200.0]], device=device, dtype=dtype)
    expected = [[0.0, 0.0, 0.0, 30.0, 200.0]]
    assert gated_gelu(x, torch.ones_like(x)).tolist() == expected
    assert exact_gelu(x).tolist() == expected


def test_arguments_that_do_not_fit_are_named(rand: Make) -> None:
    gate = rand(2, 16)
    bad = {
        "gate must be .* with contiguous rows": (rand(16, 2).T, gate),
        r"linear must be \(2, 16\) of torch.* like gate, is \(2, 8\)": (gate, gate[:, :8]),
        "linear must be one of": (gate, gate.double()),
        "x must be .* with contiguous rows": (rand(4), None),
    }
    for message, inputs in bad.items():
        with pytest.raises(ValueError, match=message):
            plan(*inputs)


def test_cost_counts_what_is_read_and_written() -> None:
    assert cost(num_rows=3, width=5, item_bytes=2).num_bytes == 3 * 3 * 5 * 2
    assert cost(num_rows=3, width=5, item_bytes=2, gated=False).num_bytes == 2 * 3 * 5 * 2
