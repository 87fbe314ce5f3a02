"""Self-attention of the tokens of a decoder's step: over their sequence's cache, and over one another as a tree.

One program holds up to 64 tokens of a sequence in one head and reads the used part of the cache once for all of them:
drafted tokens cost hardly more than one. Specification: `reference.decode_self_attention`.

Shapes: B sequences · T tokens of the step · R rows of the cache · P slots of a row · H heads · D head dim · M largest
distance with a bias of its own.
"""

# Triton's language is untyped:
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportMissingTypeStubs=false
# pyright: reportGeneralTypeIssues=false

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from qdts.kernels.arguments import (
    FLOATS,
    INDICES,
    check,
    check_bias,
    check_devices,
    check_head_dim,
)
from qdts.kernels.cost import Cost
from qdts.kernels.online_softmax import LOG2E, LOWEST, begin, see
from qdts.kernels.plan import Launch, Plan, ceil_div, power_of_two

MAX_BLOCK = 64  # tokens of one program


def decode_self_attention(
    query: Tensor,
    past_key: Tensor,
    past_value: Tensor,
    lengths: Tensor,
    new_key: Tensor,
    new_value: Tensor,
    positions: Tensor,
    visible: Tensor,
    bias: Tensor,
    rows: Tensor | None = None,
) -> Tensor:
    """New tokens' queries, keys and values (B, T, H, D) -> (B, T, H, D).

    Token t of sequence b stands at positions[b, t]. It sees the first lengths[b] slots of its row of past_key and
    past_value (R, P, H, D), of which slot p stands at position p, and new token u where visible[b, t, u]: itself at
    least. Its row is rows[b], or b where rows are not given. lengths, positions and rows are int32, visible is bool.
    bias: as in `attention`, of a decoder's distances.
    """
    return plan(query, past_key, past_value, lengths, new_key, new_value, positions, visible, bias, rows).run()


def plan(
    query: Tensor,
    past_key: Tensor,
    past_value: Tensor,
    lengths: Tensor,
    new_key: Tensor,
    new_value: Tensor,
    positions: Tensor,
    visible: Tensor,
    bias: Tensor,
    rows: Tensor | None = None,
) -> Plan[Tensor]:
    """The launch of `decode_self_attention`."""
    check("query", query, (None, None, None, None), FLOATS)
    batch, num_tokens, num_heads, head_dim = query.shape
    if num_tokens < 1:
        raise ValueError(f"num_tokens must be at least 1, is {num_tokens}")
    check_head_dim(head_dim)
    _check_past(query, past_key, past_value, lengths, rows)
    _check_new(query, new_key, new_value, positions, visible)
    limit = check_bias(bias, num_heads)
    check_devices(query=query, bias=bias)
    out = torch.empty_like(query)
    block = min(MAX_BLOCK, max(16, power_of_two(num_tokens)))
    launch = Launch(
        kernel=decode_self_attention_kernel,
        grid=(num_heads, batch, ceil_div(num_tokens, block)),
        arguments={
            "query_ptr": query,
            "past_key_ptr": past_key,
            "past_value_ptr": past_value,
            "lengths_ptr": lengths,
            "rows_ptr": lengths if rows is None else rows,
            "new_key_ptr": new_key,
            "new_value_ptr": new_value,
            "positions_ptr": positions,
            "visible_ptr": visible.view(torch.uint8),
            "bias_ptr": bias,
            "out_ptr": out,
            "num_slots": past_key.shape[1],
            "num_tokens": num_tokens,
            "num_heads": num_heads,
            "limit": limit,
        },
        constants={"TOKENS": block, "SLOTS": 32, "WIDTH": head_dim, "HAS_ROWS": rows is not None},
    )
    return Plan((launch,), out)


def cost(lengths: Sequence[int], *, num_tokens: int, num_heads: int, head_dim: int, item_bytes: int) -> Cost:
    """The used slots' keys and values, four tensors of the step, its mask; two products of every pair."""
    batch, width = len(lengths), num_heads * head_dim
    slots = sum(lengths)
    return Cost(
        num_bytes=(2 * slots + 4 * batch * num_tokens) * width * item_bytes + batch * num_tokens**2,
        num_flops=4 * num_tokens * (slots + batch * num_tokens) * width,
    )


def _check_past(query: Tensor, past_key: Tensor, past_value: Tensor, lengths: Tensor, rows: Tensor | None) -> None:
    batch, _, num_heads, head_dim = query.shape
    check("past_key", past_key, (None if rows is not None else batch, None, num_heads, head_dim), (query.dtype,))
    check("past_value", past_value, past_key.shape, (query.dtype,))
    check("lengths", lengths, (batch,), INDICES)
    if rows is not None:
        check("rows", rows, (batch,), INDICES)
        check_devices(query=query, rows=rows)
    check_devices(query=query, past_key=past_key, past_value=past_value, lengths=lengths)


def _check_new(query: Tensor, new_key: Tensor, new_value: Tensor, positions: Tensor, visible: Tensor) -> None:
    batch, num_tokens = query.shape[:2]
    check("new_key", new_key, query.shape, (query.dtype,))
    check("new_value", new_value, query.shape, (query.dtype,))
    check("positions", positions, (batch, num_tokens), INDICES)
    check("visible", visible, (batch, num_tokens, num_tokens), (torch.bool,))
    check_devices(query=query, new_key=new_key, new_value=new_value, positions=positions, visible=visible)


@triton.jit
def biased(query, key, distance, bias_ptr, limit):
    """Scores (T, K) in powers of two, of queries (T, D), keys (K, D) and their distances; bias_ptr is at distance 0."""
    bias = tl.load(bias_ptr + tl.minimum(tl.maximum(distance, -limit), limit))
    return (tl.dot(query, tl.trans(key), input_precision="ieee") + bias) * LOG2E


@triton.jit
def decode_self_attention_kernel(
    query_ptr,
    past_key_ptr,
    past_value_ptr,
    lengths_ptr,
    rows_ptr,
    new_key_ptr,
    new_value_ptr,
    positions_ptr,
    visible_ptr,
    bias_ptr,
    out_ptr,
    num_slots,
    num_tokens,
    num_heads,
    limit,
    TOKENS: tl.constexpr,
    SLOTS: tl.constexpr,
    WIDTH: tl.constexpr,
    HAS_ROWS: tl.constexpr,
):
    """Program (h, b, i): block i of the tokens of sequence b in head h."""
    head, sequence = tl.program_id(0), tl.program_id(1)
    row = num_heads * WIDTH  # from a token's head to the next token's
    columns = tl.arange(0, WIDTH)
    token = tl.program_id(2) * TOKENS + tl.arange(0, TOKENS)
    exists = token < num_tokens
    new = sequence.to(tl.int64) * num_tokens * row + head * WIDTH  # of the sequence's first new token
    offsets = new + token[:, None] * row + columns[None, :]
    query = tl.load(query_ptr + offsets, mask=exists[:, None], other=0.0)
    position = tl.load(positions_ptr + sequence * num_tokens + token, mask=exists, other=0)
    bias_ptr += head * (2 * limit + 1) + limit  # now at distance 0
    values_sum, highest, weights_sum = begin(TOKENS, WIDTH)

    length = tl.load(lengths_ptr + sequence)
    held = tl.load(rows_ptr + sequence) if HAS_ROWS else sequence
    past = held.to(tl.int64) * num_slots * row + head * WIDTH
    for first in range(0, length, SLOTS):
        slot = first + tl.arange(0, SLOTS)
        used = slot < length
        past_offsets = past + slot[:, None] * row + columns[None, :]
        key = tl.load(past_key_ptr + past_offsets, mask=used[:, None], other=0.0)
        scores = biased(query, key, slot[None, :] - position[:, None], bias_ptr, limit)
        value = tl.load(past_value_ptr + past_offsets, mask=used[:, None], other=0.0)
        scores = tl.where(used[None, :], scores, LOWEST)
        values_sum, highest, weights_sum = see(values_sum, highest, weights_sum, scores, value)

    for first in range(0, num_tokens, TOKENS):
        other = first + tl.arange(0, TOKENS)
        other_exists = other < num_tokens
        other_offsets = new + other[:, None] * row + columns[None, :]
        key = tl.load(new_key_ptr + other_offsets, mask=other_exists[:, None], other=0.0)
        other_position = tl.load(positions_ptr + sequence * num_tokens + other, mask=other_exists, other=0)
        scores = biased(query, key, other_position[None, :] - position[:, None], bias_ptr, limit)
        pairs = (sequence * num_tokens + token)[:, None] * num_tokens + other[None, :]
        seen = tl.load(visible_ptr + pairs, mask=exists[:, None] & other_exists[None, :], other=0) != 0
        value = tl.load(new_value_ptr + other_offsets, mask=other_exists[:, None], other=0.0)
        scores = tl.where(seen, scores, LOWEST)
        values_sum, highest, weights_sum = see(values_sum, highest, weights_sum, scores, value)
    tl.store(out_ptr + offsets, (values_sum / weights_sum[:, None]).to(out_ptr.dtype.element_ty), mask=exists[:, None])
