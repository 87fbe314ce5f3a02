"""QDQ graphs for engines that are built elsewhere (TensorRT's explicit quantisation): INT8 and FP8 E4M3.

Each layer reads x -> QuantizeLinear -> DequantizeLinear and an 8-bit weight -> DequantizeLinear; the builder fuses
these into 8-bit multiplications and keeps everything else wide. All is symmetric, zero points are 0, as TensorRT
requires: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/quantized-types-explicit-quantization.html

INT8: a scale per output channel of a weight (clipped as in clips.py), one per activation tensor. FP8: one scale
each; its exponent does what channels' scales do. ONNX has FLOAT8E4M3FN since opset 19.

ONNX Runtime's CPU provider runs both, so that quality is measured without such an engine (loadtest/bench_formats.py);
`qdts serve` uses onnx/int8, whose activations are scaled per token.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from qdts.models.export.calibration import Calibration
from qdts.models.export.clips import quantize_weight
from qdts.models.export.config import ExplicitConfig
from qdts.models.export.int8 import quantize_table
from qdts.models.export.layers import Graph, Layer, matching
from qdts.models.export.quantize import read_graphs, run_calibration
from qdts.models.export.scales import FP8_LIMIT, INT8_LIMIT, activation_scale, round_fp8, round_int8
from qdts.models.runtimes.embedding import EMBEDDING

SCALES = "scales.json"
_onnx = cast(Any, onnx)
_helper = cast(Any, helper)
_numpy_helper = cast(Any, numpy_helper)
# What activations are divided by before they are rounded, by the tensor's name.
Scales = dict[str, float]


def write_explicit(config: ExplicitConfig) -> None:
    """Write `model`/onnx/<format> for each format: three graphs, the table, scales.json."""
    source = config.model / "onnx" / "fp32"
    graphs = read_graphs(source)
    calibration = run_calibration(config.model, config.calibration)
    kept = matching([*chain(*(graph.layers for graph in graphs.values()))], config.keep_fp32)
    for format_name in config.formats:
        target = config.model / "onnx" / format_name
        target.mkdir(parents=True, exist_ok=True)
        scales = {name: activation_scales(graph, calibration, config, format_name) for name, graph in graphs.items()}
        for name, graph in graphs.items():
            write_qdq_graph(graph, _weights(graph, calibration, format_name), scales[name], kept, target / name)
        quantize_table(source / EMBEDDING, target / EMBEDDING)
        about = {"format": format_name, "activations": config.activations, "kept_fp32": sorted(kept), "scales": scales}
        (target / SCALES).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def activation_scales(graph: Graph, calibration: Calibration, config: ExplicitConfig, format_name: str) -> Scales:
    """A scale for every tensor that a layer reads."""
    is_int8 = format_name == "int8_qdq"
    limit, rounding = (INT8_LIMIT, round_int8) if is_int8 else (FP8_LIMIT, round_fp8)
    return {
        layer.input: activation_scale(calibration.of(layer), config, limit=limit, rounding=rounding)
        for layer in graph.layers
    }


def write_qdq_graph(
    graph: Graph, weights: Mapping[str, "QdqWeight"], scales: Scales, kept: frozenset[str], target: Path
) -> None:
    """Put Q and DQ before every layer but the `kept` ones, check the model, write it."""
    model = type(graph.model)()
    model.CopyFrom(graph.model)
    _Rewriter(model.graph, graph.layers, weights, scales, kept).run()
    _onnx.checker.check_model(model, full_check=True)
    _onnx.save(model, str(target))


class QdqWeight:
    """An 8-bit weight (K, N) and its scale: (N,) for INT8, () for FP8."""

    def __init__(self, values: npt.NDArray[Any], scale: npt.NDArray[np.float32]) -> None:
        self.values = values
        self.scale = scale

    @property
    def axis(self) -> dict[str, int]:
        """The attribute of DequantizeLinear."""
        return {"axis": 1} if self.scale.ndim else {}


def int8_weight(weight: npt.NDArray[np.float32], gram: npt.NDArray[np.float32] | None = None) -> QdqWeight:
    """(K, N) -> INT8 with a scale per output channel."""
    quantized = quantize_weight(weight, bits=8, gram=gram)
    return QdqWeight(quantized.values, quantized.scale)


def fp8_weight(weight: npt.NDArray[np.float32]) -> QdqWeight:
    """(K, N) -> E4M3FN with one scale, which puts the largest weight at the format's largest number."""
    scale = np.float32(max(float(np.abs(weight).max()), 1e-12) / FP8_LIMIT)
    values = np.clip(weight / scale, -FP8_LIMIT, FP8_LIMIT).astype(ml_dtypes.float8_e4m3fn)
    return QdqWeight(values, np.asarray(scale))


def _weights(graph: Graph, calibration: Calibration, format_name: str) -> dict[str, QdqWeight]:
    if format_name == "fp8_qdq":
        return {layer.weight: fp8_weight(graph.weights[layer.weight]) for layer in graph.layers}
    return {
        layer.weight: int8_weight(graph.weights[layer.weight], calibration.of(layer).gram) for layer in graph.layers
    }


class _Rewriter:
    """One pass over a graph's nodes, in their topological order."""

    def __init__(
        self,
        graph: Any,
        layers: tuple[Layer, ...],
        weights: Mapping[str, QdqWeight],
        scales: Scales,
        kept: frozenset[str],
    ) -> None:
        self._graph = graph
        self._replaced = {(layer.input, layer.weight) for layer in layers if layer.name not in kept}
        self._weights = weights
        self._scales = scales
        self._nodes: list[Any] = []
        self._made: set[str] = set()

    def run(self) -> None:
        """Rewrite the graph in place."""
        for node in self._graph.node:
            if node.op_type == "MatMul" and tuple(node.input) in self._replaced:
                node.input[:] = [self._activation(*node.input), self._weight(node.input[1])]
            self._nodes.append(node)
        _replace_nodes(self._graph, self._nodes)

    def _activation(self, x: str, weight: str) -> str:
        """x through Q and DQ, once for all layers that read it; its 8 bits are those of the weight."""
        if x not in self._made:
            self._made.add(x)
            kind = self._weights[weight].values.dtype
            self._add(f"{x}.scale", np.float32(self._scales[x]))
            self._add(f"{x}.zero", np.zeros((), kind))
            self._emit("QuantizeLinear", [x, f"{x}.scale", f"{x}.zero"], f"{x}.8bit")
            self._emit("DequantizeLinear", [f"{x}.8bit", f"{x}.scale", f"{x}.zero"], f"{x}.wide")
        return f"{x}.wide"

    def _weight(self, name: str) -> str:
        if name not in self._made:
            self._made.add(name)
            weight = self._weights[name]
            self._add(f"{name}.8bit", weight.values)
            self._add(f"{name}.scale", weight.scale)
            self._add(f"{name}.zero", np.zeros(weight.scale.shape, weight.values.dtype))
            inputs = [f"{name}.8bit", f"{name}.scale", f"{name}.zero"]
            self._emit("DequantizeLinear", inputs, f"{name}.wide", **weight.axis)
        return f"{name}.wide"

    def _add(self, name: str, value: Any) -> None:
        self._graph.initializer.append(_numpy_helper.from_array(np.asarray(value), name))

    def _emit(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(_helper.make_node(kind, inputs, [output], name=f"{kind}:{output}", **attributes))


def _replace_nodes(graph: Any, nodes: Sequence[Any]) -> None:
    """Give a graph these nodes and leave only the constants they use."""
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(kept)
