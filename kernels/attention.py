"""Bidirectional self-attention within each of many documents laid end to end, with T5's relative position bias.

No padding: a program reads one block of one document's queries and that document's keys. The softmax is taken block by
block (Dao et al. 2022, "FlashAttention", arXiv 2205.14135); scores are not scaled, as in T5 (arXiv 1910.10683).
Specification: `reference.attention`.

Shapes: N tokens of all documents · B documents · H heads · D head dim · M largest distance with a bias of its own.
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

from qdts.kernels.arguments import FLOATS, INDICES, check, check_bias, check_devices, check_head_dim
from qdts.kernels.cost import Cost
from qdts.kernels.online_softmax import LOG2E, LOWEST, begin, see
from qdts.kernels.plan import Launch, Plan, ceil_div


def attention(query: Tensor, key: Tensor, value: Tensor, starts: Tensor, bias: Tensor, *, longest: int) -> Tensor:
    """Queries, keys and values (N, H, D) -> (N, H, D).

    Document b is the tokens from starts[b] to starts[b + 1], starts (B + 1,) int32; none has more than `longest`.
    bias (H, 2 M + 1) float32 holds each head's number for the distances key - query from -M to M; those beyond
    get the outermost.
    """
    return plan(query, key, value, starts, bias, longest=longest).run()


def plan(query: Tensor, key: Tensor, value: Tensor, starts: Tensor, bias: Tensor, *, longest: int) -> Plan[Tensor]:
    """The launch of `attention`."""
    check("query", query, (None, None, None), FLOATS)
    _, num_heads, head_dim = query.shape
    check_head_dim(head_dim)
    check("key", key, query.shape, (query.dtype,))
    check("value", value, query.shape, (query.dtype,))
    check("starts", starts, (None,), INDICES)
    limit = check_bias(bias, num_heads)
    check_devices(query=query, key=key, value=value, starts=starts, bias=bias)
    if longest < 0:
        raise ValueError(f"longest must be at least 0, is {longest}")
    out = torch.empty_like(query)
    queries = 64 if query.element_size() == 2 else 32
    launch = Launch(
        kernel=attention_kernel,
        grid=(ceil_div(longest, queries), num_heads, len(starts) - 1),
        arguments={
            "query_ptr": query,
            "key_ptr": key,
            "value_ptr": value,
            "starts_ptr": starts,
            "bias_ptr": bias,
            "out_ptr": out,
            "num_heads": num_heads,
            "limit": limit,
        },
        # 64 keys would take all registers that a thread can have, and with them half of the programs at a time.
        constants={"QUERIES": queries, "KEYS": 32, "WIDTH": head_dim},
        num_stages=3,
    )
    return Plan((launch,), out)


def cost(lengths: Sequence[int], *, num_heads: int, head_dim: int, limit: int, item_bytes: int) -> Cost:
    """Four tensors and the table once; two products of every pair of tokens within a document."""
    tensors = 4 * sum(lengths) * num_heads * head_dim * item_bytes
    pairs = sum(length * length for length in lengths)
    return Cost(
        num_bytes=tensors + num_heads * (2 * limit + 1) * 4,
        num_flops=4 * pairs * num_heads * head_dim,
    )


@triton.jit
def attention_kernel(
    query_ptr,
    key_ptr,
    value_ptr,
    starts_ptr,
    bias_ptr,
    out_ptr,
    num_heads,
    limit,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Program (i, h, b): block i of document b's queries in head h."""
    head, document = tl.program_id(1), tl.program_id(2)
    start = tl.load(starts_ptr + document)
    length = tl.load(starts_ptr + document + 1) - start
    first_query = tl.program_id(0) * QUERIES
    if first_query >= length:
        return
    token = num_heads * WIDTH  # from a token's head to the next token's
    base = start.to(tl.int64) * token + head * WIDTH
    columns = tl.arange(0, WIDTH)
    query_at = first_query + tl.arange(0, QUERIES)
    query_offsets = base + query_at[:, None] * token + columns[None, :]
    query_exists = (query_at < length)[:, None]
    query = tl.load(query_ptr + query_offsets, mask=query_exists, other=0.0)
    values_sum, highest, weights_sum = begin(QUERIES, WIDTH)
    # Whole blocks of keys lie more than M behind or ahead of every query here: one bias for all of those.
    bias_ptr += head * (2 * limit + 1)
    near = tl.maximum(first_query - limit + 1, 0) // KEYS * KEYS
    far = tl.minimum(tl.cdiv(first_query + QUERIES - 1 + limit, KEYS) * KEYS, length)
    values_sum, highest, weights_sum = _read(
        values_sum, highest, weights_sum, query, query_at, key_ptr + base, value_ptr + base, bias_ptr,
        0, near, length, token, limit, False, KEYS, WIDTH,
    )  # fmt: skip
    values_sum, highest, weights_sum = _read(
        values_sum, highest, weights_sum, query, query_at, key_ptr + base, value_ptr + base, bias_ptr,
        near, far, length, token, limit, True, KEYS, WIDTH,
    )  # fmt: skip
    values_sum, highest, weights_sum = _read(
        values_sum, highest, weights_sum, query, query_at, key_ptr + base, value_ptr + base, bias_ptr + 2 * limit,
        far, length, length, token, limit, False, KEYS, WIDTH,
    )  # fmt: skip
    out = values_sum / weights_sum[:, None]
    tl.store(out_ptr + query_offsets, out.to(out_ptr.dtype.element_ty), mask=query_exists)


@triton.jit
def _read(
    values_sum,
    highest,
    weights_sum,
    query,
    query_at,
    key_ptr,
    value_ptr,
    bias_ptr,
    first,
    last,
    length,
    token,
    limit,
    NEAR: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Blocks of keys from `first` to `last`, with a bias by distance if NEAR, else the one at bias_ptr."""
    columns = tl.arange(0, WIDTH)
    for first_key in range(first, last, KEYS):
        key_at = first_key + tl.arange(0, KEYS)
        key_offsets = key_at[:, None] * token + columns[None, :]
        key_exists = (key_at < length)[:, None]
        key = tl.load(key_ptr + key_offsets, mask=key_exists, other=0.0)
        if NEAR:
            distance = key_at[None, :] - query_at[:, None]  # (QUERIES, KEYS)
            bias = tl.load(bias_ptr + tl.minimum(tl.maximum(distance, -limit), limit) + limit)
        else:
            bias = tl.load(bias_ptr)
        scores = (tl.dot(query, tl.trans(key), input_precision="ieee") + bias) * LOG2E
        scores = tl.where((key_at < length)[None, :], scores, LOWEST)
        value = tl.load(value_ptr + key_offsets, mask=key_exists, other=0.0)
        values_sum, highest, weights_sum = see(values_sum, highest, weights_sum, scores, value)
    return values_sum, highest, weights_sum
