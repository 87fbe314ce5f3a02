"""An ONNX graph written node by node. Tensors are names; knows nothing of networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from onnx import helper, numpy_helper

_OPSET, _IR_VERSION = 23, 10  # the first opset with Attention, and a format that ONNX Runtime reads since then
_CONTRIB = "com.microsoft"  # ONNX Runtime's own operators
_onnx = cast(Any, onnx)
_helper = cast(Any, helper)
_numpy_helper = cast(Any, numpy_helper)
Shape = Sequence[int | str]


class GraphWriter:
    """Nodes in the order in which they are asked for. Equal small constants are stored once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[Any] = []
        self._constants: dict[Any, Any] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, dtype: Any, shape: Shape) -> str:
        """A named input; free dimensions are names."""
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def output(self, name: str, source: str, dtype: Any, shape: Shape) -> None:
        """Give a tensor to the caller under this name."""
        self._nodes.append(_helper.make_node("Identity", [source], [name], name=name))
        self._outputs.append(_value_info(name, dtype, shape))

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """A scalar or an array; an array that is one already keeps its type."""
        array = value if isinstance(value, np.ndarray) else np.asarray(value, dtype)
        key: Any = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = _numpy_helper.from_array(array, f"{self._name}.constant.{len(self._constants)}")
        return self._constants[key].name

    def op(self, kind: str, *inputs: str, num_outputs: int = 1, contrib: bool = False, **attributes: Any) -> str:
        """One node; the name of its first output."""
        names = [f"{self._name}.{kind}.{len(self._nodes)}.{place}" for place in range(num_outputs)]
        domain = _CONTRIB if contrib else ""
        self._nodes.append(_helper.make_node(kind, inputs, names, name=names[0], domain=domain, **attributes))
        return names[0]

    def choose(self, condition: str, then: "GraphWriter", otherwise: "GraphWriter") -> str:
        """The one output of either branch; branches have no inputs and read this graph's tensors."""
        return self.op("If", condition, then_branch=then.graph(), else_branch=otherwise.graph())

    def graph(self) -> Any:
        """As a GraphProto."""
        constants = list(self._constants.values())
        return _helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, constants)

    def save(self, path: Path) -> None:
        """Write the file."""
        opsets = [_helper.make_opsetid("", _OPSET), _helper.make_opsetid(_CONTRIB, 1)]
        model = _helper.make_model(self.graph(), opset_imports=opsets, ir_version=_IR_VERSION, producer_name="qdts")
        _onnx.save(model, str(path))


def _value_info(name: str, dtype: Any, shape: Shape) -> Any:
    return _helper.make_tensor_value_info(name, _helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))
