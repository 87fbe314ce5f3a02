"""Packed attention against its specification: documents of any length, blocks or not, near and far positions."""

from collections.abc import Callable
from itertools import accumulate

import pytest
import torch
from torch import Tensor

from qdts.errors import Unsupported
from qdts.kernels import reference

pytest.importorskip("triton", reason="kernels need Triton")
from qdts.kernels.attention import attention, cost, plan  # noqa: E402

Make = Callable[..., Tensor]
Compare = Callable[[Tensor, Tensor], None]


@pytest.mark.parametrize(
    ("lengths", "limit"),
    [
        ([1], 128),  # a document of one token
        ([1, 1, 5], 2),
        ([3, 0, 64], 128),  # one of none, one of exactly a block
        ([65, 33], 7),  # ends within a block
        ([150], 3),  # whole blocks far behind and far ahead
        ([130], 128),  # all near
        ([97], 0),  # no distance of its own but 0
    ],
)
@pytest.mark.parametrize("head_dim", [16, 32])
def test_it_is_the_specification(
    lengths: list[int], limit: int, head_dim: int, rand: Make, int32: Make, assert_close: Compare
) -> None:
    query, key, value = (rand(sum(lengths), 2, head_dim) for _ in range(3))
    starts = int32([0, *accumulate(lengths)])
    bias = rand(2, 2 * limit + 1).float()
    actual = attention(query, key, value, starts, bias, longest=max(lengths))
    assert_close(actual, reference.attention(query, key, value, starts, bias))


def test_longest_may_exceed_every_document(rand: Make, int32: Make, assert_close: Compare) -> None:
    query, key, value = (rand(9, 1, 16) for _ in range(3))
    starts, bias = int32([0, 4, 9]), rand(1, 3).float()
    actual = attention(query, key, value, starts, bias, longest=200)
    assert_close(actual, reference.attention(query, key, value, starts, bias))


def test_large_scores_stay_finite(rand: Make, int32: Make, assert_close: Compare) -> None:
    # T5 does not scale: scores of some hundreds occur, whose exponentials no float32 holds.
    query, key, value = 8 * rand(70, 1, 32), 8 * rand(70, 1, 32), rand(70, 1, 32)
    starts, bias = int32([0, 70]), rand(1, 9).float()
    expected = reference.attention(query, key, value, starts, bias)
    assert expected.isfinite().all()
    # A float32 of some hundreds is known to 1e-4, and so are the weights.
    assert_close(attention(query, key, value, starts, bias, longest=70).half(), expected.half())


def test_no_documents_is_no_launch(rand: Make, int32: Make) -> None:
    empty = rand(0, 2, 16)
    assert attention(empty, empty, empty, int32([0]), rand(2, 3).float(), longest=0).shape == (0, 2, 16)


def test_arguments_that_do_not_fit_are_named(rand: Make, int32: Make) -> None:
    good = {"query": rand(4, 2, 16), "key": rand(4, 2, 16), "value": rand(4, 2, 16)}
    good |= {"starts": int32([0, 4]), "bias": rand(2, 5).float()}
    bad = {
        "key": (rand(4, 1, 16), r"key must have the shape \(4, 2, 16\), has \(4, 1, 16\)"),
        "value": (rand(2, 4, 16).transpose(0, 1), "value must be contiguous"),
        "starts": (int32([0, 4]).long(), "starts must be one of torch.int32, is torch.int64"),
        "bias": (rand(2, 4).float(), "bias must have an odd number of columns"),
    }
    for name, (tensor, message) in bad.items():
        with pytest.raises(ValueError, match=message):
            plan(**(good | {name: tensor}), longest=4)
    with pytest.raises(ValueError, match="longest must be at least 0, is -1"):
        plan(**good, longest=-1)
    with pytest.raises(Unsupported, match="head_dim must be a power of two from 16 to 128, is 24"):
        plan(rand(4, 2, 24), rand(4, 2, 24), rand(4, 2, 24), good["starts"], good["bias"], longest=4)
    with pytest.raises(ValueError, match="query must have the shape"):
        plan(rand(4, 32), good["key"], good["value"], good["starts"], good["bias"], longest=4)


def test_cost_counts_pairs_within_documents() -> None:
    one = cost([10], num_heads=2, head_dim=16, limit=8, item_bytes=2)
    two = cost([10, 10], num_heads=2, head_dim=16, limit=8, item_bytes=2)
    assert one.num_flops == 2 * 2 * 10 * 10 * 2 * 16
    assert two.num_flops == 2 * one.num_flops
    assert one.num_bytes == 4 * torch.zeros(10, 2, 16, dtype=torch.float16).nbytes + 2 * 17 * 4
