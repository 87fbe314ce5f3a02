"""A graph in 16 bits multiplies in 16 bits, does all else in fp32, and says nearly what it said."""

from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper, shape_inference

from qdts.models.export.config import CalibrationConfig, ExplicitConfig
from qdts.models.export.explicit import write_explicit
from qdts.models.export.half import HalfType, halve
from qdts.models.interaction import NUM_FEATURES

KINDS: dict[HalfType, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
GRAPHS = ("encoder", "start", "step")
CACHES = ("document.", "past.", "new.")


def types(model: Any) -> dict[str, int]:
    """Of every tensor, by name."""
    graph = shape_inference.infer_shapes(model, strict_mode=True).graph
    known = {info.name: info.type.tensor_type.elem_type for info in (*graph.input, *graph.output, *graph.value_info)}
    return known | {tensor.name: tensor.data_type for tensor in graph.initializer}


def run(model: bytes | Path, inputs: dict[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    source = model if isinstance(model, bytes) else str(model)
    return cast(Any, ort.InferenceSession(source, options, providers=["CPUExecutionProvider"]).run(None, inputs))


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_multiplications_and_what_moves_between_them_are_narrow(
    exported: Path, graph: str, kind: HalfType
) -> None:
    path = exported / "onnx/fp32" / f"{graph}.onnx"
    model = onnx.load_from_string(halve(path, kind))
    found = types(model)
    num_wide = Counter(node.op_type for node in onnx.load(path).graph.node)
    num_narrow = Counter(node.op_type for node in model.graph.node)
    assert num_narrow["MatMul"] == num_wide["MatMul"] and num_narrow["Softmax"] == num_wide["Softmax"]
    for node in model.graph.node:
        numbers = {found[name] for name in (*node.input, *node.output) if found.get(name) in (*KINDS.values(), 1)}
        if node.op_type == "MatMul":
            assert numbers == {KINDS[kind]}, node.name
        elif KINDS[kind] in numbers:
            assert node.op_type in {"Cast", "Reshape", "Transpose", "Concat", "Shape"}, node.name


@pytest.mark.parametrize("graph", GRAPHS)
def test_keys_and_values_pass_in_16_bits_and_nothing_else(exported: Path, graph: str) -> None:
    model = onnx.load_from_string(halve(exported / "onnx/fp32" / f"{graph}.onnx", "fp16"))
    before = onnx.load(exported / "onnx/fp32" / f"{graph}.onnx").graph
    for ours, theirs in zip((*model.graph.input, *model.graph.output), (*before.input, *before.output), strict=True):
        assert ours.name == theirs.name
        wide = theirs.type.tensor_type.elem_type
        expected = TensorProto.FLOAT16 if ours.name.startswith(CACHES) else wide
        assert ours.type.tensor_type.elem_type == expected, ours.name


def test_no_cast_comes_back_at_once(exported: Path) -> None:
    """What goes from one multiplication to the next without a sum between stays narrow."""
    model = onnx.load_from_string(halve(exported / "onnx/fp32/step.onnx", "fp16"))
    made = {output: node for node in model.graph.node for output in node.output}
    found = types(model)
    casts = [node for node in model.graph.node if node.op_type == "Cast" and found[node.output[0]] in KINDS.values()]
    makers = [made.get(node.input[0]) for node in casts]
    assert casts
    assert not [
        maker.name for maker in makers if maker is not None and maker.op_type in {"Cast", "Reshape", "Transpose"}
    ]


def test_projections_are_those_of_numpy_in_16_bits(exported: Path) -> None:
    """start.onnx without features is one multiplication per array."""
    path = exported / "onnx/fp32/start.onnx"
    hidden = np.random.default_rng(2).normal(size=(1, 9, 32)).astype(np.float32)
    inputs = {"hidden": hidden, "features": np.zeros((1, 9, NUM_FEATURES), np.float32), "present": np.zeros(1, bool)}
    actual = run(halve(path, "fp16"), inputs)[0]  # (1, H, S, D)
    graph = onnx.load(path).graph
    node = next(
        node for node in graph.node if node.op_type == "MatMul" and node.name.removeprefix("/").startswith("k/")
    )
    weight = next(numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name == node.input[1])
    expected = hidden.astype(np.float16).astype(np.float32) @ weight.astype(np.float16).astype(np.float32)
    assert actual.dtype == np.float16
    np.testing.assert_allclose(actual.swapaxes(1, 2).reshape(1, 9, 32), expected, rtol=2e-3, atol=2e-3)


def test_states_are_near_those_of_fp32(exported: Path) -> None:
    path = exported / "onnx/fp32/encoder.onnx"
    embedded = np.random.default_rng(3).normal(size=(2, 30, 32), scale=0.3).astype(np.float32)
    inputs = {"embedded": embedded, "mask": np.arange(30)[None] < np.array([[30], [11]])}
    exact, narrow = run(path, inputs)[0], run(halve(path, "fp16"), inputs)[0]
    error = np.linalg.norm(exact - narrow) / np.linalg.norm(exact)
    assert 0 < error < 0.01


def test_what_multiplies_8_bits_is_left_alone(exported: Path) -> None:
    write_explicit(ExplicitConfig(model=exported, calibration=CalibrationConfig(num_rows=1, num_threads=1)))
    path = exported / "onnx/int8_qdq/step.onnx"
    wide = {tuple(node.input) for node in onnx.load(path).graph.node if node.op_type == "MatMul"}
    model = onnx.load_from_string(halve(path, "fp16"))
    made = {output: node.op_type for node in model.graph.node for output in node.output}
    found = types(model)
    quantised = [n for n in model.graph.node if n.op_type == "MatMul" and made.get(n.input[0]) == "DequantizeLinear"]
    others = [n for n in model.graph.node if n.op_type == "MatMul" and n not in quantised]
    assert quantised and all(tuple(node.input) in wide for node in quantised)
    assert others and all(found[name] == TensorProto.FLOAT16 for node in others for name in node.input)
