"""A trace says everything of a graph: names, free dimensions, opset; and the graph computes the module."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from qdts.models.export.trace import Trace, export_trace


class Scaled(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, 3), (B, 3) -> (B, 3)"""
        return torch.tanh(left) * right


@pytest.mark.parametrize("opset", [18, 20])
def test_a_graph_is_its_trace(opset: int, tmp_path: Path) -> None:
    free = {name: {0: "B"} for name in ("left", "right", "product")}
    inputs = {"left": torch.ones(2, 3), "right": torch.ones(2, 3)}
    trace = Trace(module=Scaled(), inputs=inputs, outputs=["product"], free=free)
    with torch.inference_mode():
        export_trace(trace, tmp_path / "graph.onnx", opset)
    model = onnx.load(str(tmp_path / "graph.onnx"))
    assert [entry.version for entry in model.opset_import] == [opset]
    session = onnxruntime.InferenceSession(str(tmp_path / "graph.onnx"), providers=["CPUExecutionProvider"])
    assert [(node.name, node.shape) for node in session.get_inputs()] == [("left", ["B", 3]), ("right", ["B", 3])]
    left, right = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    [product] = cast(Any, session).run(["product"], {"left": left, "right": right})
    np.testing.assert_allclose(product, np.tanh(left) * right, rtol=1e-5)
