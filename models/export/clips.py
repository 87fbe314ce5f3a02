"""Where to clip a weight before it is rounded: per output channel, the clip with the smallest error at the output.

Rounding error grows with the clip, clipping error falls with it; the best lies below the largest weight
(Sung et al. 2015, arXiv 1511.06488; Banner et al. 2019, arXiv 1810.05723; Nagel et al. 2021, arXiv 2106.08295,
section 3.1, "MSE"). The error is measured where it matters, behind the multiplication: with G = X'X of
calibration inputs X (N, K), the squared error of channel w is d'Gd, d = w - quantised w (the quadratic form of
Frantar et al. 2022, arXiv 2210.17323, equation 1). Knows nothing of graphs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

GRID = tuple(round(1 - 0.04 * step, 2) for step in range(14))  # 1.0 to 0.48 of the largest weight


def weight_limit(bits: int) -> int:
    """The largest integer of a symmetric weight of `bits`: 63 for 7, 127 for 8."""
    return 2 ** (bits - 1) - 1


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """Integers (K, N) and a scale (N,) per output channel; `clips` (N,) as shares of the channel's largest."""

    values: npt.NDArray[np.int8]
    scale: Floats
    clips: Floats

    def dequantized(self) -> Floats:
        """(K, N) float32"""
        return self.values.astype(np.float32) * self.scale


def quantize_weight(
    weight: Floats, *, bits: int, gram: Floats | None = None, grid: Sequence[float] = GRID
) -> QuantizedWeight:
    """(K, N) -> integers; without the inputs' `gram` (K, K) nothing is clipped."""
    limit = weight_limit(bits)
    best = _quantize(weight, np.ones(weight.shape[1], np.float32), limit)
    if gram is None:
        return best
    smallest = _errors(weight, best, gram)  # (N,)
    clips = best.clips.copy()
    for share in grid:
        tried = _quantize(weight, np.full_like(clips, share), limit)
        errors = _errors(weight, tried, gram)
        clips = np.where(errors < smallest, np.float32(share), clips)
        smallest = np.minimum(errors, smallest)
    return _quantize(weight, clips, limit)


def _quantize(weight: Floats, clips: Floats, limit: int) -> QuantizedWeight:
    largest = np.abs(weight).max(axis=0) * clips
    scale = np.where(largest > 0, largest / limit, 1).astype(np.float32)
    values = np.clip(np.rint(weight / scale), -limit, limit).astype(np.int8)
    return QuantizedWeight(values, scale, clips)


def _errors(weight: Floats, quantized: QuantizedWeight, gram: Floats) -> npt.NDArray[np.float64]:
    """(N,) squared error of each output channel over the calibration inputs."""
    delta = weight - quantized.dequantized()
    return np.einsum("kn,kn->n", delta, gram @ delta, dtype=np.float64)
