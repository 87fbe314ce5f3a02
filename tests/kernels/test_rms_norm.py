"""The fused addition and norm against the specification, in odd widths and for rows of any size."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from qdts.errors import Unsupported
from qdts.kernels import reference

pytest.importorskip("triton", reason="kernels need Triton")
from qdts.kernels.rms_norm import MAX_WIDTH, add_rms_norm, cost, plan, rms_norm  # noqa: E402

Make = Callable[..., Tensor]
Compare = Callable[[Tensor, Tensor], None]
EPSILON = 1e-6


@pytest.mark.parametrize(("num_rows", "width"), [(1, 1), (3, 7), (5, 64), (2, 768), (0, 16)])
def test_it_is_the_specification(num_rows: int, width: int, rand: Make, assert_close: Compare) -> None:
    stream, update, weight = rand(num_rows, width), rand(num_rows, width), rand(width)
    before = stream.clone()
    actual = add_rms_norm(stream, update, weight, EPSILON)
    expected = reference.add_rms_norm(stream, update, weight, EPSILON)
    assert torch.equal(actual.stream, expected.stream)
    assert_close(actual.normed, expected.normed)
    assert_close(rms_norm(stream, weight, EPSILON), reference.rms_norm(stream, weight, EPSILON))
    assert torch.equal(stream, before)


@pytest.mark.parametrize("size", [0.0, 1e-3, 1e3])
def test_rows_of_any_size(size: float, rand: Make, assert_close: Compare) -> None:
    # In half precision the square of 1,000 is infinite and that of 0.001 is lost.
    x, weight = size * rand(2, 48), rand(48)
    actual = rms_norm(x, weight, EPSILON)
    assert actual.isfinite().all()
    assert_close(actual, reference.rms_norm(x, weight, EPSILON))


def test_a_float32_stream_keeps_what_16_bits_would_lose(rand: Make, assert_close: Compare) -> None:
    stream, update, weight = rand(3, 48).float() + 1e5, rand(3, 48), rand(48)
    actual = add_rms_norm(stream, update, weight, EPSILON)
    assert torch.equal(actual.stream, stream + update.float())
    assert (actual.stream.dtype, actual.normed.dtype) == (torch.float32, update.dtype)
    assert_close(actual.normed, reference.add_rms_norm(stream, update, weight, EPSILON).normed)
    alone = rms_norm(stream, weight, EPSILON, update.dtype)
    assert_close(alone, reference.rms_norm(stream, weight, EPSILON, update.dtype))


def test_arguments_that_do_not_fit_are_named(rand: Make) -> None:
    stream, weight = rand(2, 16), rand(16)
    bad = {
        r"update must have the shape \(2, 16\), has \(1, 16\)": (stream, stream[:1], weight),
        r"weight must have the shape \(16\), has \(8\)": (stream, stream, weight[:8]),
        "stream must be contiguous": (rand(16, 2).T, None, weight),
        "stream must be one of": (stream.double(), None, weight),
        "update must be one of": (stream, stream.double(), weight),
    }
    for message, inputs in bad.items():
        with pytest.raises(ValueError, match=message):
            plan(*inputs, epsilon=EPSILON)
    with pytest.raises(Unsupported, match=f"from 1 to {MAX_WIDTH} numbers, has {MAX_WIDTH + 1}"):
        plan(rand(1, MAX_WIDTH + 1), None, rand(MAX_WIDTH + 1), EPSILON)


def test_fusing_saves_a_fifth_of_the_bytes() -> None:
    fused, norm = (cost(num_rows=1000, width=768, item_bytes=2, adds=adds) for adds in (True, False))
    addition = 3 * 1000 * 768 * 2
    assert fused.num_bytes / (addition + norm.num_bytes) == pytest.approx(4 / 5, abs=0.001)
    wide = cost(num_rows=1000, width=768, item_bytes=2, stream_bytes=4)
    assert wide.num_bytes - fused.num_bytes == 2 * 1000 * 768 * 2
