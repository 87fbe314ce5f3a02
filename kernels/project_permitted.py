"""The output projection onto each row's permitted ids, and the choice among them, in one: no scores are written.

END stands against all others together: it is chosen where its score is at least their log-sum-exp, that is, where
stopping is at least as likely as going on. Each program scores a block of one row's ids, a second kernel decides.
Specification: `reference.project_permitted`.

Shapes: R rows · C hidden · V vocabulary · K ids of the longest list · Z blocks of a list.
"""

# Triton's language is untyped:
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportMissingTypeStubs=false

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from qdts.kernels.arguments import FLOATS, INDICES, check, check_devices
from qdts.kernels.cost import Cost
from qdts.kernels.online_softmax import LOWEST
from qdts.kernels.plan import Launch, Plan, ceil_div, power_of_two

BLOCK_IDS = 32
NO_ID = tl.constexpr(2**31 - 1)


def project_permitted(
    hidden: Tensor, weight: Tensor, permitted: Tensor, counts: Tensor, *, end: int, scale: float = 1.0
) -> Tensor:
    """The choice of each row -> (R,) int64, by scores hidden (R, C) @ weight (V, C).T * scale.

    Row r may choose among the first counts[r] >= 1 of permitted[r], different ids below V; permitted (R, K) and counts
    (R,) are int32. `end` is chosen if no other is permitted or its score is at least the log-sum-exp of the others';
    else the highest of the others, the lowest id among equals.
    """
    return plan(hidden, weight, permitted, counts, end=end, scale=scale).run()


def plan(
    hidden: Tensor, weight: Tensor, permitted: Tensor, counts: Tensor, *, end: int, scale: float = 1.0
) -> Plan[Tensor]:
    """The launches of `project_permitted`."""
    check("hidden", hidden, (None, None), FLOATS)
    num_rows, width = hidden.shape
    check("weight", weight, (None, width), (hidden.dtype,))
    check("permitted", permitted, (num_rows, None), INDICES)
    check("counts", counts, (num_rows,), INDICES)
    check_devices(hidden=hidden, weight=weight, permitted=permitted, counts=counts)
    if not 0 <= end < len(weight):
        raise ValueError(f"end must be from 0 to {len(weight) - 1}, is {end}")
    num_ids = permitted.shape[1]
    num_blocks = ceil_div(num_ids, BLOCK_IDS)
    sums = hidden.new_empty((num_rows, num_blocks, 3), dtype=torch.float32)
    ids = hidden.new_empty((num_rows, num_blocks), dtype=torch.int32)
    out = hidden.new_empty((num_rows,), dtype=torch.int64)
    parts = {"counts_ptr": counts, "sums_ptr": sums, "ids_ptr": ids, "num_blocks": num_blocks, "end": end}
    score = Launch(
        kernel=score_ids_kernel,
        grid=(num_rows, num_blocks),
        arguments={
            "hidden_ptr": hidden,
            "weight_ptr": weight,
            "permitted_ptr": permitted,
            **parts,
            "num_ids": num_ids,
            "width": width,
            "scale": scale,
        },
        constants={"IDS": BLOCK_IDS, "CHUNK": 128},
    )
    decide = Launch(
        kernel=decide_kernel,
        grid=(num_rows,),
        arguments={**parts, "out_ptr": out},
        constants={"IDS": BLOCK_IDS, "BLOCKS": power_of_two(max(1, num_blocks))},
        num_warps=1,
    )
    return Plan((score, decide), out)


def cost(counts: Sequence[int], *, width: int, item_bytes: int) -> Cost:
    """Each permitted id with its vector, each row, an id of 8 bytes per row; a product of each pair."""
    num_rows, num_ids = len(counts), sum(counts)
    return Cost(
        num_bytes=(num_ids + num_rows) * width * item_bytes + 4 * num_ids + 12 * num_rows,
        num_flops=2 * num_ids * width,
    )


@triton.jit
def score_ids_kernel(
    hidden_ptr,
    weight_ptr,
    permitted_ptr,
    counts_ptr,
    sums_ptr,
    ids_ptr,
    num_blocks,
    end,
    num_ids,
    width,
    scale,
    IDS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Program (r, z): of block z of row r's ids, END apart, the best, its score and the sum of exp(score - best's)."""
    row, block = tl.program_id(0), tl.program_id(1)
    count = tl.load(counts_ptr + row)
    if block * IDS >= count:
        return
    place = block * IDS + tl.arange(0, IDS)
    exists = place < count
    ids = tl.load(permitted_ptr + row * num_ids + place, mask=exists, other=0)
    products = tl.zeros([IDS, CHUNK], dtype=tl.float32)
    for first in range(0, width, CHUNK):
        column = first + tl.arange(0, CHUNK)
        inside = column < width
        hidden = tl.load(hidden_ptr + row.to(tl.int64) * width + column, mask=inside, other=0.0)
        weight_offsets = ids[:, None].to(tl.int64) * width + column[None, :]
        weight = tl.load(weight_ptr + weight_offsets, mask=exists[:, None] & inside[None, :], other=0.0)
        products += weight.to(tl.float32) * hidden.to(tl.float32)[None, :]
    scores = tl.sum(products, 1) * scale
    is_other = exists & (ids != end)
    others = tl.where(is_other, scores, LOWEST)
    highest = tl.max(others, 0)
    best = tl.min(tl.where(is_other & (others == highest), ids, NO_ID), 0)
    slot = row * num_blocks + block
    tl.store(ids_ptr + slot, best)
    tl.store(sums_ptr + 3 * slot, highest)
    tl.store(sums_ptr + 3 * slot + 1, tl.sum(tl.where(is_other, tl.exp(others - highest), 0.0), 0))
    tl.store(sums_ptr + 3 * slot + 2, tl.max(tl.where(exists & (ids == end), scores, LOWEST), 0))


@triton.jit
def decide_kernel(counts_ptr, sums_ptr, ids_ptr, num_blocks, end, out_ptr, IDS: tl.constexpr, BLOCKS: tl.constexpr):
    """Program r: END or the best of the others, from the blocks of row r."""
    row = tl.program_id(0)
    block = tl.arange(0, BLOCKS)
    exists = block * IDS < tl.load(counts_ptr + row)
    slot = row * num_blocks + block
    scores = tl.load(sums_ptr + 3 * slot, mask=exists, other=LOWEST)
    weights_sums = tl.load(sums_ptr + 3 * slot + 1, mask=exists, other=0.0)
    end_score = tl.max(tl.load(sums_ptr + 3 * slot + 2, mask=exists, other=LOWEST), 0)
    ids = tl.load(ids_ptr + slot, mask=exists, other=NO_ID)
    highest = tl.max(scores, 0)
    weights_sum = tl.sum(weights_sums * tl.exp(scores - highest), 0)
    # Without others the sum is 0; with END away its score is LOWEST, below any log-sum-exp.
    stops = (weights_sum == 0.0) | (end_score >= highest + tl.log(tl.maximum(weights_sum, 1.0)))
    best = tl.min(tl.where(scores == highest, ids, NO_ID), 0)
    # Where no score is a number, there is no best: an id out of range would be read from memory out of range.
    tl.store(out_ptr + row, tl.where(stops | (best == NO_ID), end, best).to(tl.int64))
