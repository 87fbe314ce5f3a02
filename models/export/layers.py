"""What of an ONNX graph is quantised: its multiplications by a constant matrix, each with a name people can write.

Knows nothing of how; what multiplies two activations (attention scores and their sums) is no layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Floats = npt.NDArray[np.float32]
_onnx = cast(Any, onnx)
_numpy_helper = cast(Any, numpy_helper)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One MatMul: `graph` its file's stem, `input` (..., K) times `weight` (K, N), both names in the graph."""

    name: str
    graph: str
    input: str
    weight: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph in memory with its layers."""

    model: Any
    layers: tuple[Layer, ...]
    weights: Mapping[str, Floats]


def read_graph(path: Path) -> Graph:
    """Read a graph and find its layers."""
    model = _onnx.load(str(path))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    layers = tuple(
        Layer(name=f"{path.stem}:{_short(node.name)}", graph=path.stem, input=node.input[0], weight=node.input[1])
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in tensors
    )
    weights = {layer.weight: _numpy_helper.to_array(tensors[layer.weight]) for layer in layers}
    return Graph(model, layers, weights)


def matching(layers: Sequence[Layer], patterns: Sequence[str]) -> frozenset[str]:
    """Names of the layers that fit a pattern (as in a shell); ValueError names a pattern that fits none."""
    chosen: set[str] = set()
    for pattern in patterns:
        found = {layer.name for layer in layers if fnmatchcase(layer.name, pattern)}
        if not found:
            raise ValueError(
                f"keep_fp32: no layer is called {pattern!r}; such as {layers[0].name!r}, {layers[-1].name!r}"
            )
        chosen |= found
    return frozenset(chosen)


def _short(node: str) -> str:
    return node.removeprefix("/").removesuffix("/MatMul")
