"""The stage quantize: its report is true of its graphs, layers can be left out, and fp32 is close."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from qdts.errors import WeightsMissing
from qdts.models.evaluation.samples import SAMPLE_V1, load_row_file
from qdts.models.export.calibration import Calibration
from qdts.models.export.config import CalibrationConfig, ExportConfig, QuantizeConfig
from qdts.models.export.layers import read_graph
from qdts.models.export.quantize import calibration_rows, quantize, read_graphs, write_int8
from qdts.models.export.sqnr import QuantizeReport, ratio_db, to_text
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.graph import Graph


def run(exported: Path, target: Path, calibration: Calibration | None, **changes: Any) -> QuantizeReport:
    config = QuantizeConfig(**({"model": exported, "calibration": CalibrationConfig(num_rows=4)} | changes))
    source = exported / "onnx" / "fp32"
    return write_int8(read_graphs(source), source, target, config, calibration)


def noise_db(exported: Path, target: Path) -> float:
    """How far the int8 encoder's output is from the fp32 encoder's."""
    embedded = np.random.default_rng(3).normal(size=(1, 40, 32)).astype(np.float32)
    wide, narrow = (
        Graph(path / "encoder.onnx", RuntimeConfig(num_threads=1)) for path in (exported / "onnx" / "fp32", target)
    )
    outputs = wide.run(embedded, np.ones((1, 40), np.bool_))[0], narrow.run(embedded)[0]
    return ratio_db(outputs[0], outputs[0] - outputs[1])


def test_clips_help_every_layer_and_the_whole(exported: Path, calibration: Calibration, tmp_path: Path) -> None:
    report = run(exported, tmp_path / "a", calibration)
    assert report.num_prompts == 5 and report.calibrated_on == SAMPLE_V1.name
    gains = [layer.sqnr_db - layer.unclipped_db for layer in report.layers if layer.sqnr_db and layer.unclipped_db]
    assert len(gains) == len(report.layers) and np.mean(gains) > 0 and min(gains) > -0.3
    assert all(sum(layer.clips.values()) == layer.shape[1] for layer in report.layers)
    assert json.loads((tmp_path / "a" / "quantize.json").read_text())["weight_bits"] == 7
    run(exported, tmp_path / "b", calibration, weight_bits=8)
    assert 20 < noise_db(exported, tmp_path / "a") < noise_db(exported, tmp_path / "b")


def test_the_reported_ratio_is_that_of_the_graph(exported: Path, calibration: Calibration, tmp_path: Path) -> None:
    """`start` has layers that read a graph's input: run it, and compare with what the report says of one of them."""
    report = run(exported, tmp_path, calibration)
    layer = next(x for x in read_graph(exported / "onnx" / "fp32" / "start.onnx").layers if x.input == "features")
    model = onnx.load(tmp_path / "start.onnx")
    rounded = next(node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear")
    product = next(node.output[0] for node in model.graph.node if rounded in node.input)
    out = next(node.output[0] for node in model.graph.node if product in node.input)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(out))
    onnx.save(model, tmp_path / "watched.onnx")
    rows = calibration.of(layer).rows
    width = read_graph(exported / "onnx" / "fp32" / "start.onnx").weights[layer.weight]
    graph = Graph(tmp_path / "watched.onnx", RuntimeConfig(num_threads=1))
    actual = graph.run(np.zeros((1, len(rows), 32), np.float32), rows[None], np.ones(1, np.bool_))[-1][0]
    expected = next(x.sqnr_db for x in report.layers if x.name == layer.name)
    assert ratio_db(rows @ width, rows @ width - actual) == pytest.approx(expected, abs=0.05)


def test_kept_layers_stay_float(exported: Path, calibration: Calibration, tmp_path: Path) -> None:
    report = run(exported, tmp_path, calibration, keep_fp32=("encoder:*/wo",))
    kept = [layer for layer in report.layers if layer.is_kept]
    assert len(kept) == 2 and all(layer.name.endswith("wo") and not layer.clips for layer in kept)
    tensors = {t.name: t for t in onnx.load(tmp_path / "encoder.onnx").graph.initializer}
    wide = [numpy_helper.to_array(t).shape for t in tensors.values() if t.data_type == 1 and len(t.dims) == 2]
    assert wide.count((64, 32)) == 2
    assert "fp32" in to_text(report.layers)


def test_without_calibration_nothing_is_clipped(exported: Path, tmp_path: Path) -> None:
    report = run(exported, tmp_path, None)
    assert report.clip == "max"
    assert all(layer.clips == {"1.0": layer.shape[1]} and layer.sqnr_db is None for layer in report.layers)


def test_the_stage_writes_beside_its_source(exported: Path) -> None:
    quantize(QuantizeConfig(model=exported, calibration=CalibrationConfig(num_rows=2, num_threads=1)))
    assert (exported / "onnx" / "int8" / "quantize.json").is_file()


def test_graphs_that_are_not_there_name_the_stage(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="run the stage export first"):
        quantize(QuantizeConfig(model=tmp_path))
    with pytest.raises(WeightsMissing, match=r"config\.json"):
        from qdts.models.export.release import export_fp32

        export_fp32(ExportConfig(model=tmp_path))


def test_rows_are_spread_over_the_file() -> None:
    rows = calibration_rows(CalibrationConfig(num_rows=20))
    assert len(rows) == 20
    assert len({row.set for row in rows}) == len({row.set for row in load_row_file()})
    assert len(calibration_rows(CalibrationConfig(num_rows=4000))) == len(load_row_file())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_bits": 6}, "weight_bits must be 7 or 8, is 6"),
        ({"grid": (1.0, 1.2)}, r"grid must hold shares in \(0, 1\]"),
        ({"grid": ()}, "grid must hold"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuantizeConfig(model=Path("m"), **changes)
    with pytest.raises(ValueError, match=r"num_rows must lie in \[1, 4096\], is 0"):
        CalibrationConfig(num_rows=0)
