"""Attention of the tokens of a decoder's step over the document that each sequence reads.

Keys and values lie in one pool of tokens, in the type of the queries or as int8 with a scale per token; sequences on
the same document read the same entries. As in "Flash-Decoding" (Dao et al. 2023), a document may be split among
programs, whose parts a second kernel puts together: few sequences then still keep every multiprocessor busy.
Specification: `reference.decode_cross_attention`.

Shapes: B sequences · T tokens of the step · N tokens of the pool · H heads · D head dim · Z parts of a document.
"""

# Triton's language is untyped:
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportMissingTypeStubs=false
# pyright: reportGeneralTypeIssues=false

from collections.abc import Mapping, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from qdts.kernels.arguments import FLOATS, INDICES, check, check_devices, check_head_dim, check_num_tokens
from qdts.kernels.cost import Cost
from qdts.kernels.online_softmax import LOG2E, LOWEST, begin, see
from qdts.kernels.plan import Launch, Plan, power_of_two

# A part is worth its second kernel only if it is long; programs beyond a few per multiprocessor wait in line anyway.
MIN_PART = 128
PROGRAMS_PER_PROCESSOR = 2
MAX_PARTS = 32


def decode_cross_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    lengths: Tensor,
    key_scale: Tensor | None = None,
    value_scale: Tensor | None = None,
    *,
    longest: int,
    num_parts: int | None = None,
) -> Tensor:
    """Queries (B, T, H, D), T at most 64, over keys and values (N, H, D) -> (B, T, H, D).

    Sequence b reads the lengths[b] entries from starts[b], both (B,) int32, at least one and at most `longest`.
    With int8 keys and values go key_scale and value_scale (N,) float32: what a step of an entry is worth.
    num_parts: among how many programs a document is split; None leaves it to the device's size.
    """
    arguments = (query, key, value, starts, lengths, key_scale, value_scale)
    return plan(*arguments, longest=longest, num_parts=num_parts).run()


def plan(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    lengths: Tensor,
    key_scale: Tensor | None = None,
    value_scale: Tensor | None = None,
    *,
    longest: int,
    num_parts: int | None = None,
) -> Plan[Tensor]:
    """The launches of `decode_cross_attention`: one, or two where documents are split."""
    check("query", query, (None, None, None, None), FLOATS)
    batch, num_tokens, num_heads, head_dim = query.shape
    check_num_tokens(num_tokens)
    check_head_dim(head_dim)
    check("starts", starts, (batch,), INDICES)
    check("lengths", lengths, (batch,), INDICES)
    scales = _check_pool(query, key, value, key_scale, value_scale)
    check_devices(query=query, key=key, value=value, starts=starts, lengths=lengths)
    if num_parts is None:
        num_parts = choose_parts(batch * num_heads, longest, _num_processors(query.device))
    if not 1 <= num_parts <= MAX_PARTS:
        raise ValueError(f"num_parts must be from 1 to {MAX_PARTS}, is {num_parts}")
    pool = {"key_ptr": key, "value_ptr": value, "starts_ptr": starts, "lengths_ptr": lengths, **scales}
    out = torch.empty_like(query)
    if num_parts == 1:
        # Sums are not written then, but a kernel has all its arguments.
        return Plan((_read(query, pool, out, query.new_empty(1, dtype=torch.float32), 1),), out)
    parts = query.new_empty((*query.shape[:3], num_parts, head_dim), dtype=torch.float32)
    sums = query.new_empty((*query.shape[:3], num_parts, 2), dtype=torch.float32)
    return Plan((_read(query, pool, parts, sums, num_parts), _join(parts, sums, out)), out)


def _read(query: Tensor, pool: Mapping[str, Tensor], out: Tensor, sums: Tensor, num_parts: int) -> Launch:
    """Each part's sum of values with its highest score and weight; of a single part the result."""
    batch, num_tokens, num_heads, head_dim = query.shape
    return Launch(
        kernel=read_part_kernel,
        grid=(num_parts, num_heads, batch),
        arguments={
            "query_ptr": query,
            **pool,
            "out_ptr": out,
            "sums_ptr": sums,
            "num_tokens": num_tokens,
            "num_heads": num_heads,
        },
        constants={
            "TOKENS": max(16, power_of_two(num_tokens)),
            "KEYS": 32 if query.element_size() == 4 else 64,
            "WIDTH": head_dim,
            "PARTS": num_parts,
            "QUANTIZED": pool["key_ptr"].dtype == torch.int8,
        },
    )


def _join(parts: Tensor, sums: Tensor, out: Tensor) -> Launch:
    """Parts (B, T, H, Z, D) and their sums (B, T, H, Z, 2) -> out (B, T, H, D)."""
    batch, num_tokens, num_heads, num_parts, head_dim = parts.shape
    return Launch(
        kernel=join_parts_kernel,
        grid=(batch * num_tokens * num_heads,),
        arguments={"parts_ptr": parts, "sums_ptr": sums, "out_ptr": out},
        constants={"PARTS": num_parts, "SLOTS": power_of_two(num_parts), "WIDTH": head_dim},
        num_warps=1,
    )


def choose_parts(num_programs: int, longest: int, num_processors: int) -> int:
    """Parts per document that fill the device, none shorter than is worth a second kernel."""
    wanted = PROGRAMS_PER_PROCESSOR * num_processors // max(1, num_programs)
    return max(1, min(wanted, longest // MIN_PART, MAX_PARTS))


def cost(
    lengths: Sequence[int], *, num_tokens: int, num_heads: int, head_dim: int, item_bytes: int, pool_bytes: int
) -> Cost:
    """Keys and values once per sequence, `pool_bytes` an element, their scales if int8; queries and results."""
    batch, width, entries = len(lengths), num_heads * head_dim, sum(lengths)
    scales = 2 * entries * 4 if pool_bytes == 1 else 0
    return Cost(
        num_bytes=2 * entries * width * pool_bytes + scales + 2 * batch * num_tokens * width * item_bytes,
        num_flops=4 * num_tokens * entries * width,
    )


def _check_pool(
    query: Tensor, key: Tensor, value: Tensor, key_scale: Tensor | None, value_scale: Tensor | None
) -> dict[str, Tensor]:
    """The kernel's scale arguments; where nothing is quantized it gets tensors that it does not read."""
    check("key", key, (None, *query.shape[2:]), (query.dtype, torch.int8))
    check("value", value, key.shape, (key.dtype,))
    if (key.dtype == torch.int8) != (key_scale is not None) or (key_scale is None) != (value_scale is None):
        raise ValueError(f"key_scale and value_scale go with int8 keys and values, and only with those: {key.dtype}")
    if key_scale is None or value_scale is None:
        return {"key_scale_ptr": key, "value_scale_ptr": value}
    check("key_scale", key_scale, (len(key),), (torch.float32,))
    check("value_scale", value_scale, (len(key),), (torch.float32,))
    check_devices(query=query, key_scale=key_scale, value_scale=value_scale)
    return {"key_scale_ptr": key_scale, "value_scale_ptr": value_scale}


def _num_processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


@triton.jit
def read_part_kernel(
    query_ptr,
    key_ptr,
    value_ptr,
    starts_ptr,
    lengths_ptr,
    key_scale_ptr,
    value_scale_ptr,
    out_ptr,
    sums_ptr,
    num_tokens,
    num_heads,
    TOKENS: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    PARTS: tl.constexpr,
    QUANTIZED: tl.constexpr,
):
    """Program (z, h, b): part z of the document of sequence b in head h."""
    part, head, sequence = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = num_heads * WIDTH
    columns = tl.arange(0, WIDTH)
    token = tl.arange(0, TOKENS)
    exists = token < num_tokens
    place = (sequence * num_tokens + token) * num_heads + head  # of a token's head among all
    query_offsets = place[:, None].to(tl.int64) * WIDTH + columns[None, :]
    query = tl.load(query_ptr + query_offsets, mask=exists[:, None], other=0.0)
    values_sum, highest, weights_sum = begin(TOKENS, WIDTH)

    start = tl.load(starts_ptr + sequence).to(tl.int64)
    length = tl.load(lengths_ptr + sequence)
    share = tl.cdiv(tl.cdiv(length, PARTS), KEYS) * KEYS
    last = tl.minimum((part + 1) * share, length)
    for first in range(part * share, last, KEYS):
        entry = start + first + tl.arange(0, KEYS)
        exists_key = first + tl.arange(0, KEYS) < last
        offsets = entry[:, None] * row + head * WIDTH + columns[None, :]
        key = tl.load(key_ptr + offsets, mask=exists_key[:, None], other=0)
        value = tl.load(value_ptr + offsets, mask=exists_key[:, None], other=0)
        if QUANTIZED:
            # An int8 is exact in any float type: keys are scaled after the product, in float32.
            key_scale = tl.load(key_scale_ptr + entry, mask=exists_key, other=0.0)
            value_scale = tl.load(value_scale_ptr + entry, mask=exists_key, other=0.0)
            scores = tl.dot(query, tl.trans(key.to(query.dtype)), input_precision="ieee") * key_scale[None, :]
            value = (value.to(tl.float32) * value_scale[:, None]).to(query.dtype)
        else:
            scores = tl.dot(query, tl.trans(key), input_precision="ieee")
        scores = tl.where(exists_key[None, :], scores * LOG2E, LOWEST)
        values_sum, highest, weights_sum = see(values_sum, highest, weights_sum, scores, value)

    if PARTS == 1:
        out = values_sum / weights_sum[:, None]
        tl.store(out_ptr + query_offsets, out.to(out_ptr.dtype.element_ty), mask=exists[:, None])
    else:
        slot = place * PARTS + part
        tl.store(out_ptr + slot[:, None].to(tl.int64) * WIDTH + columns[None, :], values_sum, mask=exists[:, None])
        tl.store(sums_ptr + 2 * slot, highest, mask=exists)
        tl.store(sums_ptr + 2 * slot + 1, weights_sum, mask=exists)


@triton.jit
def join_parts_kernel(
    parts_ptr,
    sums_ptr,
    out_ptr,
    PARTS: tl.constexpr,
    SLOTS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Program i: one token's head, from its parts."""
    place = tl.program_id(0)
    part = tl.arange(0, SLOTS)
    columns = tl.arange(0, WIDTH)
    exists = part < PARTS
    slot = place.to(tl.int64) * PARTS + part
    highest = tl.load(sums_ptr + 2 * slot, mask=exists, other=LOWEST)
    weights_sum = tl.load(sums_ptr + 2 * slot + 1, mask=exists, other=0.0)
    values_sum = tl.load(parts_ptr + slot[:, None] * WIDTH + columns[None, :], mask=exists[:, None], other=0.0)
    fade = tl.exp2(highest - tl.max(highest, 0))
    out = tl.sum(values_sum * fade[:, None], 0) / tl.sum(weights_sum * fade, 0)
    tl.store(out_ptr + place.to(tl.int64) * WIDTH + columns, out.to(out_ptr.dtype.element_ty))
