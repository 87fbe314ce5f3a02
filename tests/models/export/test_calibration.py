"""What is watched is what flows: every layer, on real prompts, and the summaries stay what they were."""

from pathlib import Path

import numpy as np
import pytest

from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.systems import document_of
from qdts.models.export.calibration import Calibration, Inputs, calibrate
from qdts.models.export.layers import Layer, matching, read_graph
from qdts.models.prompt import PromptBuilder
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.onnx_runtime import OnnxRuntime
from qdts.models.summarizer import read_prompts

GRAPHS = ("encoder", "start", "step")


def layers_of(exported: Path) -> list[Layer]:
    return [layer for name in GRAPHS for layer in read_graph(exported / "onnx" / "fp32" / f"{name}.onnx").layers]


def test_every_layer_is_watched(exported: Path, calibration: Calibration) -> None:
    layers = layers_of(exported)
    # per block of two: 7 in the encoder; k and v of the cross-attention in start; 4 + 2 + 3 in a step; interaction
    assert len(layers) == 2 * 7 + 2 * 2 + 2 * 9 + 2
    assert len({layer.name for layer in layers}) == len(layers)
    for layer in layers:
        inputs = calibration.of(layer)
        assert 0 < len(inputs.rows) <= inputs.num_tokens
        assert np.abs(inputs.rows).max() <= inputs.peak


def test_the_first_layer_sees_what_the_encoder_gives_it(
    exported: Path, calibration: Calibration, rows: list[EvalRow], builder: PromptBuilder
) -> None:
    """start.onnx reads the encoder's output, features aside: as many tokens as the prompts have."""
    runtime = OnnxRuntime(exported / "onnx" / "fp32", RuntimeConfig(precision="fp32", num_threads=1))
    modes = ("joint", "indexed")
    prompts = [
        builder.build(row.query, document_of(row), max_words=50, mode=modes[i % 2]) for i, row in enumerate(rows)
    ]
    features = next(layer for layer in layers_of(exported) if layer.input == "features")
    seen = calibration.of(features)
    assert seen.num_tokens == sum(len(prompt.encoder_ids) for prompt in prompts)
    _, read = read_prompts(runtime, prompts)
    expected = sum(features.T @ features for features in read)
    np.testing.assert_allclose(seen.gram, expected, rtol=1e-3, atol=1e-3)
    assert runtime.info.precision == "fp32"


def test_statistics_of_inputs() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 4, 3) - 12
    inputs = Inputs(3, seed=0)
    inputs.add(values)
    flat = values.reshape(8, 3)
    np.testing.assert_allclose(inputs.gram, flat.T @ flat)
    assert (inputs.peak, inputs.num_tokens) == (12.0, 8)
    np.testing.assert_array_equal(inputs.rows, flat)  # fewer than are kept of a call


def test_no_rows_are_refused(exported: Path) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        calibrate(exported, [])


def test_layers_are_chosen_by_pattern(exported: Path) -> None:
    layers = layers_of(exported)
    assert len(matching(layers, ["*/wo"])) == 2 + 2 + 1
    assert matching(layers, [layers[0].name]) == {layers[0].name}
    assert matching(layers, []) == frozenset()
    with pytest.raises(ValueError, match="keep_fp32: no layer is called 'nothing'"):
        matching(layers, ["*/wo", "nothing"])
