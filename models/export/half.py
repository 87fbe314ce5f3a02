"""An fp32 ONNX graph with its multiplications in 16 bits, for engines that take types as the graph has them.

Every MatMul reads and writes fp16 or bf16, its sums are the engine's affair (TensorRT's are in fp32). All else stays
fp32: the residual stream, RMSNorm, the biases of attention and its softmax, the gate. What only moves numbers between
two multiplications moves the 16 bits. The decoder's keys and values, of document and cache, enter and leave in 16 bits.

A MatMul of dequantised numbers (explicit.py) is left to the engine, which computes it in 8 bits.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_onnx = cast(Any, onnx)
_helper = cast(Any, helper)
_numpy_helper = cast(Any, numpy_helper)
_FLOAT = cast(int, TensorProto.FLOAT)
HalfType = Literal["fp16", "bf16"]
_KINDS: dict[str, tuple[int, Any]] = {
    "fp16": (cast(int, TensorProto.FLOAT16), np.float16),
    "bf16": (cast(int, TensorProto.BFLOAT16), ml_dtypes.bfloat16),
}
# They move numbers, or join arrays, and change none; the inputs that carry the numbers, None for all.
_MOVERS: dict[str, int | None] = {"Reshape": 1, "Transpose": 1, "Unsqueeze": 1, "Slice": 1, "Concat": None}
# Arrays of keys and values, by the beginning of their names (to_onnx.py).
_CACHES = ("document.", "past.", "new.")


def halve(path: Path, kind: HalfType) -> bytes:
    """Read a graph and return it, serialised, with its multiplications in `kind`; checked by onnx."""
    model = _onnx.load(str(path))
    _Halver(model.graph, kind).run()
    _onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class _Halver:
    """One pass over the nodes in their topological order. `_twins` says where a tensor's numbers are in 16 bits."""

    def __init__(self, graph: Any, kind: HalfType) -> None:
        self._graph = graph
        self._kind, self._dtype = _KINDS[kind]
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._made = {output: node for node in graph.node for output in node.output}
        self._results = {tensor.name for tensor in graph.output}
        self._twins: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._nodes: list[Any] = []

    def run(self) -> None:
        """Rewrite the graph in place."""
        for tensor in self._graph.input:
            if tensor.name.startswith(_CACHES):
                self._open(tensor)
        for node in self._graph.node:
            self._rewrite(node)
        for tensor in self._graph.output:
            if tensor.name.startswith(_CACHES):
                self._close(tensor)
        self._prune()
        del self._graph.value_info[:]

    def _open(self, tensor: Any) -> None:
        """An input becomes 16 bits; who wants it wide reads a cast of it."""
        name = tensor.name
        tensor.type.tensor_type.elem_type = self._kind
        self._aliases[name] = self._emit("Cast", [name], f"{name}.wide", to=_FLOAT)
        self._twins[f"{name}.wide"] = name

    def _close(self, tensor: Any) -> None:
        """An output becomes 16 bits: its name goes to the twin, and `name`.wide to what had it."""
        name, twin = tensor.name, self._twin(tensor.name)
        tensor.type.tensor_type.elem_type = self._kind
        names = {name: f"{name}.wide", twin: name}
        for node in self._nodes:
            node.input[:] = [names.get(each, each) for each in node.input]
            node.output[:] = [names.get(each, each) for each in node.output]

    def _rewrite(self, node: Any) -> None:
        node.input[:] = [self._aliases.get(name, name) for name in node.input]
        if node.op_type == "MatMul" and not self._reads_8_bits(node):
            self._multiply(node)
        elif node.op_type == "Mul" and (kept := self._times_one(node)) is not None:
            self._aliases[node.output[0]] = kept
        elif node.op_type == "Shape":
            node.input[0] = self._twins.get(node.input[0], node.input[0])
            self._nodes.append(node)
        else:
            self._nodes.append(node)
            if node.op_type in _MOVERS:
                self._move(node)

    def _multiply(self, node: Any) -> None:
        """In 16 bits, and a cast for who wants the product wide."""
        output = node.output[0]
        node.input[:] = [self._twin(name) for name in node.input]
        node.output[0] = self._twins[output] = f"{output}.half"
        self._nodes.append(node)
        self._emit("Cast", [f"{output}.half"], output, to=_FLOAT)

    def _move(self, node: Any) -> None:
        """The same once more for the twins, if all that carries numbers has one."""
        carriers = list(node.input)[: _MOVERS[node.op_type]]
        if all(name in self._twins for name in carriers):
            twin = type(node)()
            twin.CopyFrom(node)
            twin.name = f"{node.name}.half"
            twin.input[: len(carriers)] = [self._twins[name] for name in carriers]
            twin.output[0] = self._twins[node.output[0]] = f"{node.output[0]}.half"
            self._nodes.append(twin)

    def _twin(self, name: str) -> str:
        """This tensor in 16 bits: as it is known, or as a constant, or by a cast."""
        if name not in self._twins:
            self._twins[name] = f"{name}.half"
            if name in self._constants:
                narrow = _numpy_helper.to_array(self._constants[name]).astype(self._dtype)
                self._graph.initializer.append(_numpy_helper.from_array(narrow, f"{name}.half"))
            else:
                self._emit("Cast", [name], f"{name}.half", to=self._kind)
        return self._twins[name]

    def _reads_8_bits(self, node: Any) -> bool:
        makers = (self._made.get(name) for name in node.input)
        return any(maker is not None and maker.op_type == "DequantizeLinear" for maker in makers)

    def _times_one(self, node: Any) -> str | None:
        """What a multiplication by 1 multiplies: the exporter writes attention's scale, which T5 lacks, as two."""
        if node.output[0] in self._results:
            return None
        for kept, factor in (node.input, reversed(node.input)):
            maker = self._made.get(factor)
            if maker is not None and maker.op_type == "Constant":
                value = _numpy_helper.to_array(maker.attribute[0].t)
                if value.size == 1 and value.ndim == 0 and float(value) == 1.0:
                    return str(kept)
        return None

    def _emit(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(_helper.make_node(kind, inputs, [output], name=f"{kind}:{output}", **attributes))
        return output

    def _prune(self) -> None:
        """Keep what leads to an output."""
        nodes = list(_needed(self._nodes, {tensor.name for tensor in self._graph.output}))[::-1]
        read = {name for node in nodes for name in node.input}
        constants = [tensor for tensor in self._graph.initializer if tensor.name in read]
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(nodes)
        self._graph.initializer.extend(constants)


def _needed(nodes: Iterable[Any], wanted: set[str]) -> Iterator[Any]:
    """The nodes that lead to what is wanted, last first."""
    for node in reversed(list(nodes)):
        if wanted & set(node.output):
            wanted |= set(node.input)
            yield node
