"""A step's cross-attention against its specification: parts of documents, shared documents, int8 keys and values."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from qdts.errors import Unsupported
from qdts.kernels import reference

pytest.importorskip("triton", reason="kernels need Triton")
from qdts.kernels.decode_cross_attention import (  # noqa: E402
    MAX_PARTS,
    MIN_PART,
    choose_parts,
    cost,
    decode_cross_attention,
    plan,
)

Make = Callable[..., Tensor]
Compare = Callable[[Tensor, Tensor], None]
NUM_HEADS, HEAD_DIM = 2, 16


def make_inputs(
    rand: Make, spans: list[tuple[int, int]], num_tokens: int, *, is_int8: bool = False
) -> tuple[Tensor, ...]:
    """Tensors in the order of the arguments; spans are (start, length) of each sequence in the pool."""
    query = rand(len(spans), num_tokens, NUM_HEADS, HEAD_DIM)
    size = max(start + length for start, length in spans)
    key, value = rand(size, NUM_HEADS, HEAD_DIM), rand(size, NUM_HEADS, HEAD_DIM)
    starts, lengths = torch.tensor(spans, dtype=torch.int32, device=query.device).T.contiguous()
    if not is_int8:
        return query, key, value, starts, lengths
    (key, key_scale), (value, value_scale) = reference.quantize_tokens(key), reference.quantize_tokens(value)
    return query, key, value, starts, lengths, key_scale, value_scale


@pytest.mark.parametrize("is_int8", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("num_parts", [1, 3])
@pytest.mark.parametrize(
    ("spans", "num_tokens"),
    [
        ([(0, 1)], 1),  # parts without an entry
        ([(0, 64), (64, 65)], 3),  # a block, one more
        ([(5, 130), (5, 130), (100, 20)], 16),  # two sequences on one document, a third within it
        ([(0, 70)], 64),
    ],
)
def test_it_is_the_specification(
    spans: list[tuple[int, int]], num_tokens: int, num_parts: int, is_int8: bool, rand: Make, assert_close: Compare
) -> None:
    inputs = make_inputs(rand, spans, num_tokens, is_int8=is_int8)
    actual = decode_cross_attention(*inputs, longest=130, num_parts=num_parts)
    assert_close(actual, reference.decode_cross_attention(*inputs))


def test_int8_is_close_to_what_was_quantized(rand: Make) -> None:
    query, key, value, starts, lengths = make_inputs(rand, [(0, 40)], 4)
    whole = reference.decode_cross_attention(query, key, value, starts, lengths)
    (key, key_scale), (value, value_scale) = reference.quantize_tokens(key), reference.quantize_tokens(value)
    scales = (key_scale, value_scale)
    actual = decode_cross_attention(query, key, value, starts, lengths, *scales, longest=40)
    assert torch.nn.functional.cosine_similarity(actual.float(), whole.float(), dim=-1).min() > 0.99


def test_parts_fill_a_device_and_are_not_short() -> None:
    assert choose_parts(12, 512, 132) == 512 // MIN_PART  # one sequence of 12 heads on an H100
    assert choose_parts(12, 100, 132) == 1
    assert choose_parts(12, 512, 1) == 1
    assert choose_parts(12 * 64, 512, 132) == 1
    assert choose_parts(1, 10**6, 132) == MAX_PARTS


def test_arguments_that_do_not_fit_are_named(rand: Make) -> None:
    query, key, value, starts, lengths, key_scale, value_scale = make_inputs(rand, [(0, 9)], 2, is_int8=True)
    floats = rand(9, NUM_HEADS, HEAD_DIM)
    bad = {
        "key must be one of": (query, key.short(), value, starts, lengths, key_scale, value_scale),
        "value must be one of torch.int8": (query, key, floats, starts, lengths, key_scale, value_scale),
        "key_scale and value_scale go with int8": (query, key, value, starts, lengths),
        "key_scale and value_scale go with": (query, floats, floats, starts, lengths, key_scale, value_scale),
        r"value_scale must have the shape \(9\)": (query, key, value, starts, lengths, key_scale, value_scale[1:]),
        r"lengths must have the shape \(1\)": (query, floats, floats, starts, starts.repeat(2)),
    }
    for message, inputs in bad.items():
        with pytest.raises(ValueError, match=message):
            plan(*inputs, longest=9)
    with pytest.raises(ValueError, match=f"num_parts must be from 1 to {MAX_PARTS}, is 0"):
        plan(query, floats, floats, starts, lengths, longest=9, num_parts=0)
    with pytest.raises(Unsupported, match="num_tokens must be from 1 to 64, is 65"):
        plan(*make_inputs(rand, [(0, 1)], 65), longest=1)


def test_int8_halves_what_is_read() -> None:
    sizes = {"num_tokens": 1, "num_heads": 12, "head_dim": 64, "item_bytes": 2}
    whole, quantized = cost([512], pool_bytes=2, **sizes), cost([512], pool_bytes=1, **sizes)
    assert 0.5 < quantized.num_bytes / whole.num_bytes < 0.51
    assert quantized.num_flops == whole.num_flops
