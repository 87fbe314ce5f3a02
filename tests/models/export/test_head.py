"""The output layer's graph: the highest score, the lowest id among equals, and all scores."""

from pathlib import Path

import numpy as np
import pytest

from qdts.models.export.clips import QuantizedWeight, quantize_weight
from qdts.models.export.head import write_head
from qdts.models.export.int8 import quantize_tokens
from qdts.models.runtimes.base import Floats
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.embedding import Table
from qdts.models.runtimes.graph import Graph
from qdts.models.runtimes.onnx_head import OnnxHead

WEIGHT = np.random.default_rng(0).normal(size=(16, 50)).astype(np.float32)
STATES = np.random.default_rng(1).normal(size=(7, 16)).astype(np.float32)


def open_head(weight: QuantizedWeight | Floats, directory: Path) -> OnnxHead:
    write_head(weight, directory)
    table = Table(np.ascontiguousarray(WEIGHT.T), np.ones(50, np.float32))
    return OnnxHead(table, lambda: Graph(directory / "head.onnx", RuntimeConfig(num_threads=1)))


def test_float_scores_are_the_product(tmp_path: Path) -> None:
    head = open_head(WEIGHT, tmp_path)
    np.testing.assert_allclose(head.scores(STATES, None), STATES @ WEIGHT, rtol=1e-5, atol=1e-5)
    assert head.best(STATES).tolist() == (STATES @ WEIGHT).argmax(-1).tolist()
    np.testing.assert_allclose(
        head.scores(STATES, np.array([4, 2])), (STATES @ WEIGHT)[:, [4, 2]], rtol=1e-5, atol=1e-5
    )


def test_integer_scores_are_those_of_rounded_states_and_weights(tmp_path: Path) -> None:
    weight = quantize_weight(WEIGHT, bits=7)
    head = open_head(weight, tmp_path)
    expected = quantize_tokens(STATES) @ weight.dequantized()
    np.testing.assert_allclose(head.scores(STATES, None), expected, rtol=1e-4, atol=1e-4)
    assert head.best(STATES).tolist() == expected.argmax(-1).tolist()


@pytest.mark.parametrize("bits", [None, 7])
def test_the_lowest_id_wins_a_tie(tmp_path: Path, bits: int | None) -> None:
    twins = np.repeat(WEIGHT[:, :25], 2, axis=1)  # ids 2 k and 2 k + 1 score alike
    head = open_head(twins if bits is None else quantize_weight(twins, bits=bits), tmp_path)
    assert (head.best(STATES) % 2 == 0).all()


def test_rows_do_not_touch_one_another(tmp_path: Path) -> None:
    head = open_head(quantize_weight(WEIGHT, bits=7), tmp_path)
    together = head.scores(STATES, None)
    alone = np.concatenate([head.scores(state[None], None) for state in STATES])
    assert (together == alone).all()
