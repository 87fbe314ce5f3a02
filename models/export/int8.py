"""Multiplications in int8: weights per output channel, activations per token.

A token's scale depends on that token alone and integer sums are exact, so a result never depends on the rest
of the batch or on how many tokens a step verifies: drafting stays lossless at int8. ONNX Runtime's own
dynamic quantisation takes one scale per tensor: 3 % less time and a third more error on a random network.
Vector-wise scales are those of Dettmers et al. 2022 (LLM.int8(), arXiv 2208.07339, section 2.1), without its
mixed-precision part: `keep_fp32` of the stage leaves out whole layers instead.

    q = round(127 x / m) + 128, m = max|x| of a token;    y = (q - 128) w * w_scale / 127 * m

Weights of 7 bits are right on every CPU: AVX2 without VNNI adds pairs of uint8 x int8 products in 16 bits, and
2 x 255 x 63 fits; weights of 8 bits need VNNI (models/runtimes/cpu.py). Knows nothing of how weights were chosen.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from qdts.models.export.clips import QuantizedWeight
from qdts.models.export.graph_writer import GraphWriter

Floats = npt.NDArray[np.float32]
_LEAST = 1e-12  # a token of zeros is not divided by zero
_TABLE_LIMIT = 127  # the embedding table is multiplied in float32: nothing to saturate


class Int8Layers:
    """Multiplications written into one graph, by layer name: int8 where a weight has integers, else float32."""

    def __init__(self, writer: GraphWriter, weights: Mapping[str, QuantizedWeight | Floats]) -> None:
        self._writer = writer
        self._weights = weights
        self._quantized: dict[str, tuple[str, str]] = {}

    def linear(self, x: str, layer: str) -> str:
        """(..., K) -> (..., N)"""
        weight, writer = self._weights[layer], self._writer
        if not isinstance(weight, QuantizedWeight):
            return writer.op("MatMul", x, writer.constant(weight))
        rounded, peak = self._quantize(x)
        values, scale = writer.constant(weight.values), writer.constant(weight.scale)
        inputs = (rounded, values, self._scale, scale, self._zero)
        return writer.op("Mul", writer.op("MatMulIntegerToFloat", *inputs, contrib=True), peak)

    def _quantize(self, x: str) -> tuple[str, str]:
        """Rounded to uint8 (..., K), and the largest magnitude (..., 1) of each token; q, k and v share theirs."""
        if x not in self._quantized:
            op, constant = self._writer.op, self._writer.constant
            largest = op("ReduceMax", op("Abs", x), constant([-1]), keepdims=1)
            peak = op("Max", largest, constant(_LEAST, np.float32))
            self._quantized[x] = op("QuantizeLinear", op("Div", x, peak), self._scale, self._zero), peak
        return self._quantized[x]

    @property
    def _scale(self) -> str:
        return self._writer.constant(1 / 127, np.float32)

    @property
    def _zero(self) -> str:
        return self._writer.constant(128, np.uint8)


def quantize_table(source: Path, target: Path) -> None:
    """embedding.safetensors: int8 rows, a scale per row."""
    tensors = load_file(source)
    out: dict[str, npt.NDArray[Any]] = {}
    for name in tensors:
        if not name.endswith(".scale"):
            out[name], out[f"{name}.scale"] = quantize_rows(tensors[name])
    save_file(out, target)


def quantize_rows(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """(V, C) -> symmetric int8 in [-127, 127] and the scales (V,) that undo it."""
    largest = np.abs(values).max(axis=1, keepdims=True)
    scale = np.where(largest > 0, largest / _TABLE_LIMIT, 1).astype(np.float32)
    return np.rint(values / scale).astype(np.int8), scale.squeeze(1)


def quantize_tokens(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What the graph makes of activations (N, K): rounded to 8 bits per token, as float32 again."""
    peak = np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.float32(_LEAST))
    return (np.rint(x / peak * 127) / 127 * peak).astype(np.float32)
