"""An fp32 graph rewritten to int8: weights per output channel, activations per token.

A token's scale depends on that token alone and integer sums are exact, so a result never depends on the rest
of the batch or on how many tokens a step verifies: drafting stays lossless at int8. ONNX Runtime's own
dynamic quantisation takes one scale per tensor: 3 % less time and a third more error on a random network.
Vector-wise scales are those of Dettmers et al. 2022 (LLM.int8(), arXiv 2208.07339, section 2.1), without its
mixed-precision part: `keep_fp32` of the stage leaves out whole layers instead.

    q = round(127 x / m) + 128, m = max|x| of a token;    y = (q - 128) w * w_scale / 127 * m

Weights of 7 bits are right on every CPU: AVX2 without VNNI adds pairs of uint8 x int8 products in 16 bits, and
2 x 255 x 63 fits; weights of 8 bits need VNNI (models/runtimes/cpu.py). Knows nothing of how weights were chosen.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from qdts.models.export.clips import QuantizedWeight
from qdts.models.export.layers import Graph

_DOMAIN = "com.microsoft"  # of MatMulIntegerToFloat
_TABLE_LIMIT = 127  # the embedding table is multiplied in float32: nothing to saturate
_onnx = cast(Any, onnx)
_helper = cast(Any, helper)
_numpy_helper = cast(Any, numpy_helper)


def write_int8_graph(graph: Graph, weights: Mapping[str, QuantizedWeight], target: Path) -> None:
    """Replace the MatMuls by those `weights`; what has none, or multiplies two activations, stays float32."""
    model = type(graph.model)()
    model.CopyFrom(graph.model)
    _Rewriter(model.graph, weights).run()
    model.opset_import.append(_helper.make_opsetid(_DOMAIN, 1))
    _onnx.save(model, str(target))


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
    peak = np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.float32(1e-12))
    return (np.rint(x / peak * 127) / 127 * peak).astype(np.float32)


class _Rewriter:
    """One pass over a graph's nodes, in their topological order."""

    def __init__(self, graph: Any, weights: Mapping[str, QuantizedWeight]) -> None:
        self._graph = graph
        self._weights = weights
        self._nodes: list[Any] = []
        self._written: set[str] = set()
        self._quantized: set[str] = set()

    def run(self) -> None:
        """Rewrite the graph in place."""
        self._add_constant("qdts.last", np.array([-1], np.int64))
        self._add_constant("qdts.least", np.float32(1e-12))
        self._add_constant("qdts.scale", np.float32(1 / 127))
        self._add_constant("qdts.zero", np.uint8(128))
        for node in self._graph.node:
            if node.op_type == "MatMul" and node.input[1] in self._weights:
                self._replace(node)
            else:
                self._nodes.append(node)
        replace_nodes(self._graph, self._nodes)

    def _replace(self, node: Any) -> None:
        x, weight, out = node.input[0], node.input[1], node.output[0]
        self._quantize_activation(x)
        self._add_weight(weight)
        inputs = [f"{x}.uint8", f"{weight}.int8", "qdts.scale", f"{weight}.scale", "qdts.zero"]
        self._emit("MatMulIntegerToFloat", inputs, f"{out}.unscaled", domain=_DOMAIN)
        self._emit("Mul", [f"{out}.unscaled", f"{x}.max"], out)

    def _quantize_activation(self, x: str) -> None:
        if x in self._quantized:  # q, k and v share theirs
            return
        self._quantized.add(x)
        self._emit("Abs", [x], f"{x}.abs")
        self._emit("ReduceMax", [f"{x}.abs", "qdts.last"], f"{x}.peak", keepdims=1)
        self._emit("Max", [f"{x}.peak", "qdts.least"], f"{x}.max")
        self._emit("Div", [x, f"{x}.max"], f"{x}.unit")
        self._emit("QuantizeLinear", [f"{x}.unit", "qdts.scale", "qdts.zero"], f"{x}.uint8")

    def _add_weight(self, name: str) -> None:
        if name not in self._written:
            self._written.add(name)
            self._add_constant(f"{name}.int8", self._weights[name].values)
            self._add_constant(f"{name}.scale", self._weights[name].scale)

    def _add_constant(self, name: str, value: Any) -> None:
        self._graph.initializer.append(_numpy_helper.from_array(np.asarray(value), name))

    def _emit(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        name = f"{kind}:{output}"
        self._nodes.append(_helper.make_node(kind, list(inputs), [output], name=name, **attributes))


def replace_nodes(graph: Any, nodes: Sequence[Any]) -> None:
    """Give a graph these nodes and leave only the constants they use."""
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(kept)
