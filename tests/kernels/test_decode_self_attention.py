"""A step's self-attention against its specification: chains, trees, a block of tokens and more, any cache."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from qdts.kernels import reference
from qdts.models.runtimes.batching import lay_out

pytest.importorskip("triton", reason="kernels need Triton")
from qdts.kernels.decode_self_attention import cost, decode_self_attention, plan  # noqa: E402

Make = Callable[..., Tensor]
Compare = Callable[[Tensor, Tensor], None]
NUM_HEADS, HEAD_DIM, LIMIT = 2, 16, 11


def make_inputs(
    rand: Make, lengths: list[int], num_slots: int, num_tokens: int, *, is_tree: bool
) -> tuple[Tensor, ...]:
    """Tensors in the order of the arguments, laid out as a runtime does; trees are drawn at random."""
    batch = len(lengths)
    query, new_key, new_value = (rand(batch, num_tokens, NUM_HEADS, HEAD_DIM) for _ in range(3))
    past_key, past_value = (rand(batch, num_slots, NUM_HEADS, HEAD_DIM) for _ in range(2))
    draw = random.Random(num_tokens)
    parents = [[draw.randrange(-1, token) for token in range(num_tokens)] for _ in range(batch)]
    laid_out = lay_out(np.array(lengths), num_tokens, np.array(parents) if is_tree else None)
    positions, visible = (torch.tensor(array, device=query.device) for array in laid_out)
    held = torch.tensor(lengths, dtype=torch.int32, device=query.device)
    bias = rand(NUM_HEADS, 2 * LIMIT + 1).float()
    return query, past_key, past_value, held, new_key, new_value, positions.int(), visible, bias


@pytest.mark.parametrize("is_tree", [False, True], ids=["chain", "tree"])
@pytest.mark.parametrize(
    ("lengths", "num_slots", "num_tokens"),
    [
        ([0], 0, 1),  # the first token there is
        ([0, 1, 5], 5, 3),
        ([32, 33, 70], 70, 1),  # a block of slots, one more, two and a part
        ([7, 0], 40, 17),  # slots nobody uses; tokens that are no multiple of anything
        ([31], 31, 64),
        ([9, 0], 9, 75),  # more than a program holds
    ],
)
def test_it_is_the_specification(
    lengths: list[int], num_slots: int, num_tokens: int, is_tree: bool, rand: Make, assert_close: Compare
) -> None:
    inputs = make_inputs(rand, lengths, num_slots, num_tokens, is_tree=is_tree)
    assert_close(decode_self_attention(*inputs), reference.decode_self_attention(*inputs))


def test_unused_slots_and_unseen_tokens_change_nothing(rand: Make) -> None:
    inputs = make_inputs(rand, [3, 20], 40, 4, is_tree=False)
    _, past_key, past_value, lengths, new_key, *_ = inputs
    expected = decode_self_attention(*inputs)
    for row, length in enumerate(lengths.tolist()):
        past_key[row, length:] = past_value[row, length:] = 9
    new_key[:, 3] = 9  # seen by the last token alone
    actual = decode_self_attention(*inputs)
    assert torch.equal(actual[:, :3], expected[:, :3])
    assert not torch.equal(actual[:, 3], expected[:, 3])


def test_sequences_may_lie_in_any_rows_of_the_cache(rand: Make, int32: Make, assert_close: Compare) -> None:
    query, past_key, past_value, *rest = make_inputs(rand, [3, 20], 40, 4, is_tree=True)
    past_key, past_value = (torch.cat([past, past + 1, past + 2]) for past in (past_key, past_value))
    inputs = (query, past_key, past_value, *rest)
    actual = decode_self_attention(*inputs, rows=int32([4, 1]))
    assert_close(actual, reference.decode_self_attention(*inputs, rows=int32([4, 1])))
    assert_close(actual, reference.decode_self_attention(query, past_key[[4, 1]], past_value[[4, 1]], *rest))


def test_arguments_that_do_not_fit_are_named(rand: Make) -> None:
    inputs = list(make_inputs(rand, [3, 2], 4, 2, is_tree=False))
    bad = [
        (1, rand(2, 4, 1, HEAD_DIM), r"past_key must have the shape \(2, any, 2, 16\)"),
        (2, rand(2, 5, NUM_HEADS, HEAD_DIM), r"past_value must have the shape \(2, 4, 2, 16\)"),
        (3, inputs[3][:1], r"lengths must have the shape \(2\)"),
        (6, inputs[6].long(), "positions must be one of torch.int32"),
        (7, inputs[7].int(), "visible must be one of torch.bool"),
        (7, inputs[7][:1].expand(2, -1, -1), "visible must be contiguous"),
    ]
    for place, tensor, message in bad:
        with pytest.raises(ValueError, match=message):
            plan(*[tensor if number == place else good for number, good in enumerate(inputs)])
    with pytest.raises(ValueError, match=r"rows must have the shape \(2\), has \(1\)"):
        plan(*inputs, rows=inputs[3][:1])
    with pytest.raises(ValueError, match="num_tokens must be at least 1, is 0"):
        plan(*make_inputs(rand, [0], 0, 0, is_tree=False))


def test_cost_counts_used_slots_only() -> None:
    sizes = {"num_heads": 2, "head_dim": 16, "item_bytes": 2}
    few, more = cost([4], num_tokens=1, **sizes), cost([5], num_tokens=1, **sizes)
    assert more.num_bytes - few.num_bytes == 2 * 2 * 16 * 2
    assert more.num_flops - few.num_flops == 4 * 2 * 16
