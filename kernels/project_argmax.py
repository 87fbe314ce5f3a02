"""The output projection and its argmax over the whole vocabulary in one: the (R, V) scores are never written.

Each program multiplies a block of rows by a block of the vocabulary and keeps each row's best; a second kernel picks
the best of the blocks' bests. Specification: `reference.project_argmax`.

Shapes: R rows (all tokens of all sequences of a step) · C hidden · V vocabulary · Z blocks of the vocabulary.
"""

# Triton's language is untyped:
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportMissingTypeStubs=false

import torch
import triton
import triton.language as tl
from torch import Tensor

from qdts.kernels.arguments import FLOATS, check, check_devices
from qdts.kernels.cost import Cost
from qdts.kernels.online_softmax import LOWEST
from qdts.kernels.plan import Launch, Plan, ceil_div, power_of_two

MAX_ROWS = 128  # of a program: beyond, the vocabulary is read more than once


def project_argmax(hidden: Tensor, weight: Tensor, scale: float = 1.0) -> Tensor:
    """argmax of hidden (R, C) @ weight (V, C).T * scale -> (R,) int64, the lowest id among equals."""
    return plan(hidden, weight, scale).run()


def plan(hidden: Tensor, weight: Tensor, scale: float = 1.0) -> Plan[Tensor]:
    """The launches of `project_argmax`."""
    check("hidden", hidden, (None, None), FLOATS)
    num_rows, width = hidden.shape
    check("weight", weight, (None, width), (hidden.dtype,))
    check_devices(hidden=hidden, weight=weight)
    num_words = len(weight)
    if not num_words:
        raise ValueError("weight must have at least 1 row, has 0")
    rows = min(MAX_ROWS, max(16, power_of_two(num_rows)))
    words = 128 if hidden.element_size() == 2 else 64
    num_blocks = ceil_div(num_words, words)
    scores = hidden.new_empty((num_rows, num_blocks), dtype=torch.float32)
    ids = hidden.new_empty((num_rows, num_blocks), dtype=torch.int32)
    out = hidden.new_empty((num_rows,), dtype=torch.int64)
    project = Launch(
        kernel=project_block_kernel,
        grid=(ceil_div(num_rows, rows), num_blocks),
        arguments={
            "hidden_ptr": hidden,
            "weight_ptr": weight,
            "scores_ptr": scores,
            "ids_ptr": ids,
            "num_rows": num_rows,
            "num_words": num_words,
            "width": width,
            "num_blocks": num_blocks,
            "scale": scale,
        },
        constants={"ROWS": rows, "WORDS": words, "CHUNK": 64 if hidden.element_size() == 2 else 32},
        num_warps=8 if rows == MAX_ROWS else 4,
        num_stages=3,
    )
    pick = Launch(
        kernel=pick_block_kernel,
        grid=(num_rows,),
        arguments={"scores_ptr": scores, "ids_ptr": ids, "out_ptr": out, "num_blocks": num_blocks},
        constants={"BLOCKS": power_of_two(num_blocks)},
    )
    return Plan((project, pick), out)


def cost(*, num_rows: int, width: int, num_words: int, item_bytes: int) -> Cost:
    """The vocabulary's vectors and the rows once, an id of 8 bytes per row; a product of every pair."""
    return Cost(
        num_bytes=(num_words + num_rows) * width * item_bytes + 8 * num_rows,
        num_flops=2 * num_rows * width * num_words,
    )


@triton.jit
def project_block_kernel(
    hidden_ptr,
    weight_ptr,
    scores_ptr,
    ids_ptr,
    num_rows,
    num_words,
    width,
    num_blocks,
    scale,
    ROWS: tl.constexpr,
    WORDS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Program (i, z): the best of block z of the vocabulary for block i of the rows."""
    block = tl.program_id(1)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    word = block * WORDS + tl.arange(0, WORDS)
    row_exists, word_exists = row < num_rows, word < num_words
    scores = tl.zeros([ROWS, WORDS], dtype=tl.float32)
    for first in range(0, width, CHUNK):
        column = first + tl.arange(0, CHUNK)
        inside = (column < width)[None, :]
        hidden_offsets = row[:, None].to(tl.int64) * width + column[None, :]
        weight_offsets = word[:, None].to(tl.int64) * width + column[None, :]
        hidden = tl.load(hidden_ptr + hidden_offsets, mask=row_exists[:, None] & inside, other=0.0)
        weight = tl.load(weight_ptr + weight_offsets, mask=word_exists[:, None] & inside, other=0.0)
        scores = tl.dot(hidden, tl.trans(weight), acc=scores, input_precision="ieee")
    scores = tl.where(word_exists[None, :], scores * scale, LOWEST)
    highest = tl.max(scores, 1)
    # Where no score is a number none is the highest, and an id of the vocabulary must come out all the same.
    best = tl.min(tl.where((scores == highest[:, None]) & word_exists[None, :], word[None, :], num_words - 1), 1)
    place = row * num_blocks + block
    tl.store(scores_ptr + place, highest, mask=row_exists)
    tl.store(ids_ptr + place, best, mask=row_exists)


@triton.jit
def pick_block_kernel(scores_ptr, ids_ptr, out_ptr, num_blocks, BLOCKS: tl.constexpr):
    """Program i: row i, the best of its blocks' bests."""
    row = tl.program_id(0)
    block = tl.arange(0, BLOCKS)
    exists = block < num_blocks
    scores = tl.load(scores_ptr + row * num_blocks + block, mask=exists, other=LOWEST)
    ids = tl.load(ids_ptr + row * num_blocks + block, mask=exists, other=0)
    # Blocks are in order, so the first of equals has the lowest id; one that does not exist never comes before.
    first = tl.min(tl.where(exists & (scores == tl.max(scores, 0)), block, BLOCKS), 0)
    tl.store(out_ptr + row, tl.sum(tl.where(block == first, ids, 0), 0).to(tl.int64))
