"""QDQ graphs: valid ONNX, what TensorRT asks of them, and as near to fp32 as 8 bits are."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.systems import document_of
from qdts.models.export.calibration import Inputs
from qdts.models.export.config import CalibrationConfig, ExplicitConfig
from qdts.models.export.explicit import fp8_weight, int8_weight, write_explicit
from qdts.models.export.layers import read_graph
from qdts.models.export.scales import FP8_LIMIT, INT8_LIMIT, Rounding, activation_scale, round_fp8, round_int8
from qdts.models.export.sqnr import ratio_db
from qdts.models.interaction import NUM_FEATURES
from qdts.models.prompt import PromptBuilder
from qdts.models.runtimes.base import Runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.graph import Graph
from qdts.models.runtimes.onnx_runtime import OnnxRuntime
from qdts.models.summarizer import Generation, SummarizerConfig

GRAPHS = ("encoder.onnx", "start.onnx", "step.onnx")
KINDS = {"int8_qdq": TensorProto.INT8, "fp8_qdq": TensorProto.FLOAT8E4M3FN}


@pytest.fixture(scope="module")
def written(exported: Path) -> Path:
    write_explicit(ExplicitConfig(model=exported, calibration=CalibrationConfig(num_rows=6, num_threads=1)))
    return exported / "onnx"


@pytest.mark.parametrize("name", KINDS)
def test_every_layer_multiplies_what_was_8_bits(written: Path, name: str) -> None:
    for file in GRAPHS:
        model = onnx.load(written / name / file)
        onnx.checker.check_model(model, full_check=True)
        assert max(entry.version for entry in model.opset_import) >= 19
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        made = {node.output[0]: node for node in model.graph.node}
        layers = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1].endswith(".wide")]
        assert len(layers) == len(read_graph(written / "fp32" / file).layers)
        for node in layers:
            activation, weight = made[node.input[0]], made[node.input[1]]
            assert activation.op_type == weight.op_type == "DequantizeLinear"
            assert made[activation.input[0]].op_type == "QuantizeLinear"
            assert constants[weight.input[0]].data_type == KINDS[name]
            assert not np.any(numpy_helper.to_array(constants[activation.input[2]]).astype(np.float32))
            assert list(constants[activation.input[1]].dims) == []  # one scale for the tensor
        assert not [
            t.name
            for t in constants.values()
            if t.data_type == TensorProto.FLOAT and "onnx::MatMul" in t.name and len(t.dims) == 2
        ]


@pytest.mark.parametrize(("name", "rounding"), [("int8_qdq", round_int8), ("fp8_qdq", round_fp8)])
def test_a_graph_computes_what_its_scales_say(written: Path, name: str, rounding: Rounding) -> None:
    """start.onnx without features is one multiplication per array: the same in numpy."""
    model = onnx.load(written / name / "start.onnx")
    constants = {tensor.name: numpy_helper.to_array(tensor).astype(np.float32) for tensor in model.graph.initializer}
    hidden = np.random.default_rng(2).normal(size=(1, 9, 32)).astype(np.float32)
    inputs = (hidden, np.zeros((1, 9, NUM_FEATURES), np.float32), np.zeros(1, np.bool_))
    actual = Graph(written / name / "start.onnx", RuntimeConfig(num_threads=1)).run(*inputs)[0]  # (1, H, S, D)
    layer = next(x for x in read_graph(written / "fp32" / "start.onnx").layers if x.name == "start:k")
    scale = constants[f"{layer.input}.scale"]
    weight = constants[f"{layer.weight}.8bit"] * constants[f"{layer.weight}.scale"]
    expected = (rounding(hidden / scale) * scale) @ weight
    np.testing.assert_allclose(actual.swapaxes(1, 2).reshape(1, 9, 32), expected, atol=1e-4)


def test_states_are_near_those_of_fp32(written: Path) -> None:
    embedded = np.random.default_rng(2).normal(size=(1, 30, 32), scale=0.3).astype(np.float32)
    exact, int8, fp8 = (
        Graph(written / kind / "encoder.onnx", RuntimeConfig(num_threads=1)).run(embedded, np.ones((1, 30), np.bool_))[
            0
        ]
        for kind in ("fp32", "int8_qdq", "fp8_qdq")
    )
    assert ratio_db(exact, exact - int8) > ratio_db(exact, exact - fp8) > 6  # a loud, random net


@pytest.mark.parametrize("name", KINDS)
def test_most_summaries_are_those_of_fp32(
    written: Path, name: str, rows: list[EvalRow], builder: PromptBuilder
) -> None:
    def write(runtime: Runtime) -> list[list[int]]:
        prompts = [builder.build(row.query, document_of(row), max_words=30) for row in rows]
        generations = [Generation(runtime, [prompt], SummarizerConfig()) for prompt in prompts]
        for generation in generations:
            while generation.active:
                generation.step()
        return [generation.tokens(0) for generation in generations]

    config = RuntimeConfig(precision="fp32", num_threads=1)
    expected, actual = (write(OnnxRuntime(written / kind, config)) for kind in ("fp32", name))
    assert all(actual)
    # The net is random and loud, and FP8 has three bits; two of five would not agree by chance.
    least = {"int8_qdq": len(rows) - 2, "fp8_qdq": 2}[name]
    assert sum(ours[:1] == theirs[:1] for ours, theirs in zip(actual, expected, strict=True)) >= least


def test_scales_are_written_and_layers_can_be_kept(exported: Path) -> None:
    write_explicit(
        ExplicitConfig(
            model=exported,
            formats=("int8_qdq",),
            keep_fp32=("encoder:*/wo",),
            activations="minmax",
            calibration=CalibrationConfig(num_rows=1, num_threads=1),
        )
    )
    about = json.loads((exported / "onnx" / "int8_qdq" / "scales.json").read_text())
    assert len(about["kept_fp32"]) == 2 and about["activations"] == "minmax"
    model = onnx.load(exported / "onnx" / "int8_qdq" / "encoder.onnx")
    wide = [
        n
        for n in model.graph.node
        if n.op_type == "MatMul" and n.input[1].startswith("onnx::") and not n.input[1].endswith(".wide")
    ]
    assert len(wide) == 2


def test_weights_come_back_within_half_a_step() -> None:
    weight = np.random.default_rng(4).normal(size=(20, 6)).astype(np.float32)
    narrow = int8_weight(weight)
    assert (np.abs(narrow.values * narrow.scale - weight) <= narrow.scale / 2 * 1.001).all()
    fp8 = fp8_weight(weight)
    restored = fp8.values.astype(np.float32) * fp8.scale
    assert np.abs(fp8.values.astype(np.float32)).max() == FP8_LIMIT
    # three bits of mantissa: half a unit in the last place is 1/16 of the value, and subnormals have a fixed step
    assert (np.abs(restored - weight) <= np.abs(weight) / 16 + fp8.scale * 2**-10).all()


def test_fp8_rounds_as_the_type_does_and_saturates() -> None:
    values = np.array([0.3, 448.0, 460.0, 1e6, -1e6, 0.0], np.float32)
    np.testing.assert_array_equal(round_fp8(values)[1:], [448, 448, 448, -448, 0])
    assert round_fp8(values)[0] == np.float32(0.3).astype(ml_dtypes.float8_e4m3fn)
    np.testing.assert_array_equal(round_int8(np.array([-300, -127.4, 0.5, 1.5], np.float32)), [-127, -127, 0, 2])


def test_a_scale_for_a_tensor_with_an_outlier() -> None:
    inputs = Inputs(8, seed=0)
    values = np.random.default_rng(0).normal(size=(24, 8)).astype(np.float32)
    values[0, 0] = 60
    inputs.add(values)
    found = {
        how: activation_scale(
            inputs,
            ExplicitConfig(model=Path("m"), activations=how, percentile=99.0),
            limit=INT8_LIMIT,
            rounding=round_int8,
        )
        for how in ("minmax", "percentile", "mse")
    }
    assert found["minmax"] == pytest.approx(60 / 127)
    assert found["percentile"] < found["minmax"] / 4
    assert found["mse"] <= found["minmax"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formats": ("int4_qdq",)}, "formats: .*int4_qdq"),
        ({"formats": ()}, "formats"),
        ({"percentile": 50.0}, r"percentile must lie in \[90, 100\], is 50.0"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExplicitConfig(model=Path("m"), **changes)
