"""A softmax-weighted sum of values, block by block of keys (Milakov & Gimelshein 2018, arXiv 1805.02867).

What the attention kernels share. Scores are in base 2: multiplied by log2(e), so that exp2 is the exponential.

Shapes: T queries · S keys of a block · D head dim.
"""

# Triton's language is untyped:
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportMissingTypeStubs=false

import triton
import triton.language as tl

# The score of what may not be seen. Finite: a difference of two is 0, where that of two infinities is NaN. What a
# block without a visible key adds is multiplied by exp2(LOWEST - score) = 0 as soon as one is seen.
LOWEST = tl.constexpr(-1.0e30)
LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def begin(TOKENS: tl.constexpr, WIDTH: tl.constexpr):
    """Nothing seen: sum of values (T, D), highest score (T,), sum of weights (T,)."""
    zeros = tl.zeros([TOKENS, WIDTH], dtype=tl.float32)
    return zeros, tl.full([TOKENS], LOWEST, dtype=tl.float32), tl.zeros([TOKENS], dtype=tl.float32)


@triton.jit
def see(values_sum, highest, weights_sum, scores, values):
    """Scores (T, S) in base 2 and values (S, D), added to what was seen before."""
    new_highest = tl.maximum(highest, tl.max(scores, 1))
    weights = tl.exp2(scores - new_highest[:, None])
    fade = tl.exp2(highest - new_highest)
    values_sum = tl.dot(weights.to(values.dtype), values, acc=values_sum * fade[:, None], input_precision="ieee")
    return values_sum, new_highest, weights_sum * fade + tl.sum(weights, 1)
