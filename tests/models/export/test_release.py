"""What an export writes: every graph, no second copy of the vocabulary, and int8 that is int8."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.numpy import load_file

from qdts.errors import ConfigError
from qdts.models import checkpoint
from qdts.models.document import Document
from qdts.models.export.config import ReleaseConfig
from qdts.models.export.int8 import quantize_rows
from qdts.models.export.release import RELEASED, export, release
from qdts.models.manifest import verify
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.summarizer import Summarizer, SummarizerConfig

FILES = ["embedding.safetensors", "encoder.onnx", "head.onnx", "start.onnx", "step.onnx"]
VOCAB_SIZE = 128


@pytest.mark.parametrize(("precision", "more"), [("fp32", []), ("int8", ["quantize.json"])])
def test_an_export_has_every_file_and_one_graph_holds_the_vocabulary(
    model_dir: Path, precision: str, more: list[str]
) -> None:
    directory = model_dir / "onnx" / precision
    assert sorted(path.name for path in directory.iterdir()) == sorted(FILES + more)
    for name in FILES[1:]:
        shapes = [tuple(tensor.dims) for tensor in onnx.load(directory / name).graph.initializer]
        assert any(VOCAB_SIZE in shape for shape in shapes) == (name == "head.onnx")


def test_int8_graphs_hold_no_float_matrix(model_dir: Path) -> None:
    for name in ("encoder", "start", "step", "head"):
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
    values, scale = quantize_rows(np.array([[0, 0], [1, -4]], np.float32))
    assert values.tolist() == [[0, 0], [32, -127]]
    np.testing.assert_allclose(values * scale[:, None], [[0, 0], [1, -4]], atol=scale[1] / 2)


@pytest.mark.parametrize("precisions", [[], ["fp4"], ["int8", "fp4"]])
def test_an_unknown_precision_is_refused(model_dir: Path, tmp_path: Path, precisions: list[str]) -> None:
    with pytest.raises(ValueError, match="known: fp32, int8"):
        export(model_dir, tmp_path, precisions)


def test_int8_alone_leaves_no_fp32_behind(model_dir: Path, tmp_path: Path) -> None:
    export(model_dir, tmp_path, ["int8"])
    assert [path.name for path in (tmp_path / "onnx").iterdir()] == ["int8"]


def test_a_release_makes_missing_graphs_and_says_what_it_is(summarizer_dir: Path, tmp_path: Path) -> None:
    manifest = release(ReleaseConfig(model=summarizer_dir, out=tmp_path / "r", name="tiny", version="2", sample_rows=1))
    assert verify(tmp_path / "r") == manifest
    assert set(RELEASED) < set(manifest.files)
    assert [path.name for path in (tmp_path / "r" / "onnx").iterdir()] == ["int8"]
    assert manifest.architecture["d_model"] == 32 and manifest.architecture["parameters"] > 10_000
    assert manifest.quantization["int8"]["weight_bits"] == 7
    assert manifest.metrics["sample"]["num_rows"]["squad_dev"] == 1
    assert set(manifest.metrics["sample"]["systems"]) >= {"bm25_1", "joint/onnx/int8", "indexed/onnx/int8"}


def test_a_release_takes_the_graphs_that_are_there_and_answers(summarizer_dir: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    for name in RELEASED:
        (made / name).write_bytes((summarizer_dir / name).read_bytes())
    export(made, made, ["fp32", "int8"])
    (made / "onnx" / "int8" / "quantize.json").write_text(json.dumps({"weight_bits": 7, "layers": [], "note": "mine"}))
    manifest = release(ReleaseConfig(model=made, out=tmp_path / "r", name="tiny", version="1", sample_rows=0))
    assert manifest.quantization == {"int8": {"weight_bits": 7, "note": "mine"}}
    assert "sample" not in manifest.metrics
    summarizer = Summarizer.load(tmp_path / "r", SummarizerConfig(num_threads=1))
    document = Document(text="The mill stands by the river. It was built in 1820.")
    generation = summarizer.start([summarizer.prepare("When was it built?", document, max_words=20)])
    while generation.active:
        generation.step()
    assert generation.summary(0).sentences


def test_half_of_the_bytes_are_the_same_net_rounded(summarizer_dir: Path, tmp_path: Path) -> None:
    """Graphs are made from the rounded weights, whatever graphs the model had."""
    shutil.copytree(summarizer_dir, tmp_path / "model")
    (tmp_path / "model" / "onnx" / "fp32").mkdir(parents=True)
    (tmp_path / "model" / "onnx" / "fp32" / "encoder.onnx").write_bytes(b"made from other weights")
    config = ReleaseConfig(model=tmp_path / "model", out=tmp_path / "r", name="t", version="1", sample_rows=0)
    release(replace(config, precisions=("fp32",), weights="fp16"))
    sizes = [(path / "model.safetensors").stat().st_size for path in (config.out, summarizer_dir)]
    assert sizes[0] < 0.6 * sizes[1]
    rounded, exact = (checkpoint.load(path).state_dict() for path in (config.out, summarizer_dir))
    for name, tensor in rounded.items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, exact[name].half().float())
    ids = [np.arange(8, 40)]
    execution = RuntimeConfig(precision="fp32", num_threads=1)
    eager, onnx = (load_runtime(name, config.out, execution).encode(ids)[0].hidden for name in ("eager", "onnx"))
    np.testing.assert_allclose(onnx, eager, atol=1e-4)


def test_weights_have_one_of_two_formats(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weights must be fp32 or fp16, is 'fp8'"):
        ReleaseConfig(model=tmp_path, out=tmp_path, name="t", version="1", weights=cast(Any, "fp8"))


@pytest.mark.parametrize("report", ["[]", "{}", "no json"])
def test_metrics_that_are_no_report_are_refused(summarizer_dir: Path, tmp_path: Path, report: str) -> None:
    path = tmp_path / "eval.json"
    path.write_text(report)
    config = ReleaseConfig(model=summarizer_dir, out=tmp_path / "r", name="t", version="1", metrics=path)
    with pytest.raises(ConfigError, match="metrics: "):
        release(config)
    assert not (tmp_path / "r").exists()
