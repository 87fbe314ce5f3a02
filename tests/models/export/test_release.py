"""What an export writes: every graph, no second copy of the vocabulary, and int8 that is int8."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import load_file

from qdts.models.export.quantize import quantize
from qdts.models.export.release import export

FILES = ["embedding.safetensors", "encoder.onnx", "start.onnx", "step.onnx"]
VOCAB_SIZE = 128


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_release_has_every_file_and_no_graph_holds_the_vocabulary(model_dir: Path, precision: str) -> None:
    directory = model_dir / "onnx" / precision
    assert sorted(path.name for path in directory.iterdir()) == FILES
    for name in FILES[1:]:
        shapes = [tuple(tensor.dims) for tensor in onnx.load(directory / name).graph.initializer]
        assert not [shape for shape in shapes if VOCAB_SIZE in shape]


def test_int8_graphs_hold_no_float_matrix(model_dir: Path) -> None:
    for name in ("encoder", "start", "step"):
        graph = onnx.load(model_dir / "onnx" / "int8" / f"{name}.onnx").graph
        wide = [
            tensor.name
            for tensor in graph.initializer
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2 and tensor.dims[1] > 4
        ]
        assert wide == []


def test_int8_weights_leave_room_for_two_products(model_dir: Path) -> None:
    """AVX2 without VNNI: a pair of products must fit 16 bits."""
    graph = onnx.load(model_dir / "onnx" / "int8" / "encoder.onnx").graph
    weights = [numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert weights
    assert 2 * 255 * max(int(np.abs(weight.astype(int)).max()) for weight in weights) < 2**15


def test_the_table_is_int8_with_a_scale_per_row(model_dir: Path) -> None:
    wide = load_file(model_dir / "onnx" / "fp32" / "embedding.safetensors")
    narrow = load_file(model_dir / "onnx" / "int8" / "embedding.safetensors")
    assert wide.keys() == narrow.keys()
    for name in ("tokens", "head"):
        if name in wide:
            assert narrow[name].dtype == np.int8
            restored = narrow[name] * narrow[f"{name}.scale"][:, None]
            assert np.abs(restored - wide[name]).max() <= narrow[f"{name}.scale"].max() / 2 * 1.001


def test_a_row_of_zeros_survives_quantisation() -> None:
    values, scale = quantize(np.array([[0, 0], [1, -4]], np.float32), axis=1, limit=127)
    assert values.tolist() == [[0, 0], [32, -127]]
    np.testing.assert_allclose(values * scale[:, None], [[0, 0], [1, -4]], atol=scale[1] / 2)


@pytest.mark.parametrize("precisions", [[], ["fp4"], ["int8", "fp4"]])
def test_an_unknown_precision_is_refused(model_dir: Path, tmp_path: Path, precisions: list[str]) -> None:
    with pytest.raises(ValueError, match="known: fp32, int8"):
        export(model_dir, tmp_path, precisions)


def test_int8_alone_leaves_no_fp32_behind(model_dir: Path, tmp_path: Path) -> None:
    export(model_dir, tmp_path, ["int8"])
    assert [path.name for path in (tmp_path / "onnx").iterdir()] == ["int8"]
