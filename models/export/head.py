"""The output layer as a graph of its own: a choice among the whole vocabulary without its scores leaving it.

head.onnx  state (N, C) -> choice (N,), the lowest id of the highest score, and scores (N, V)
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdts.models.export.clips import QuantizedWeight
from qdts.models.export.graph_writer import GraphWriter
from qdts.models.export.int8 import Int8Layers
from qdts.models.runtimes.onnx_head import HEAD


def write_head(weight: QuantizedWeight | npt.NDArray[np.float32], directory: Path) -> None:
    """Write head.onnx for a weight (C, V); states arrive scaled as `to_onnx`'s step gives them."""
    width, num_words = (weight.values if isinstance(weight, QuantizedWeight) else weight).shape
    writer = GraphWriter("head")
    state = writer.input("state", np.float32, ["N", width])
    scores = Int8Layers(writer, {"head": weight}).linear(state, "head")
    writer.output("choice", writer.op("ArgMax", scores, axis=-1, keepdims=0), np.int64, ["N"])
    writer.output("scores", scores, np.float32, ["N", num_words])
    writer.save(directory / HEAD)
