"""The graphs written for CPUs compute what the traced ones compute."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from qdts.models.export.cpu_graphs import Net, write_cpu_graphs
from qdts.models.export.layers import read_graph
from qdts.models.export.to_onnx import export_graphs
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.graph import Array, Graph

Pair = Callable[[str], tuple[Graph, Graph]]
WIDTH, HEADS, HEAD_DIM, FEATURES = 32, 4, 8, 3


@pytest.fixture(params=[("gelu", True), ("gated-gelu", False), ("relu", True)], scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A graph as traced, and as written with the same weights in float32."""
    activation, tied = request.param
    torch.manual_seed(7)
    config = T5Config(
        vocab_size=64, d_model=WIDTH, d_kv=HEAD_DIM, d_ff=48, num_layers=2, num_decoder_layers=2, num_heads=HEADS,
        relative_attention_max_distance=40, feed_forward_proj=activation, tie_word_embeddings=tied,
        num_features=FEATURES,
    )  # fmt: skip
    net = T5(config)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if "norm" in name or name.endswith("bias"):  # ones and zeros would hide a wrong name
                weight.uniform_(0.5, 1.5)
    traced, written = (tmp_path_factory.mktemp(name) for name in ("traced", "written"))
    export_graphs(net, traced)
    layers: dict[str, Any] = {}
    for name in ("encoder", "start", "step"):
        graph = read_graph(traced / f"{name}.onnx")
        layers |= {layer.name: graph.weights[layer.weight] for layer in graph.layers}
    parameters = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    write_cpu_graphs(Net(config=config, layers=layers, parameters=parameters), written)
    config_1 = RuntimeConfig(precision="fp32", num_threads=1)
    return lambda name: (Graph(traced / f"{name}.onnx", config_1), Graph(written / f"{name}.onnx", config_1))


def assert_same(pair: tuple[Graph, Graph], *inputs: Array) -> None:
    traced, written = pair
    assert written.names == traced.names[: len(written.names)]
    expected, actual = traced.run(*inputs), written.run(*inputs[: len(written.names)])
    assert len(expected) == len(actual)
    for wanted, found in zip(expected, actual, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("length", [1, 39, 130, 512, 513, 700])
def test_the_encoder_at_lengths_around_what_its_bias_is_kept_for(pair: Pair, length: int) -> None:
    embedded = np.random.default_rng(length).normal(size=(2, length, WIDTH)).astype(np.float32)
    assert_same(pair("encoder"), embedded, np.ones((2, length), np.bool_))


def test_start_with_features_and_without(pair: Pair) -> None:
    random = np.random.default_rng(1)
    hidden = random.normal(size=(2, 9, WIDTH)).astype(np.float32)
    features = random.normal(size=(2, 9, FEATURES)).astype(np.float32)
    assert_same(pair("start"), hidden, features, np.array([True, False]))


@pytest.mark.parametrize(("num_rows", "num_new", "num_slots"), [(1, 1, 32), (2, 5, 32), (3, 40, 64)])
def test_a_step_of_rows_of_different_lengths_and_trees(pair: Pair, num_rows: int, num_new: int, num_slots: int) -> None:
    random = np.random.default_rng(num_new)

    def floats(*shape: int) -> Array:
        return random.normal(size=shape).astype(np.float32)

    lengths = random.integers(0, num_slots + 1, num_rows)
    visible = np.tril(random.random((num_rows, num_new, num_new)) < 0.6) | np.eye(num_new, dtype=np.bool_)
    positions = lengths[:, None] + visible.sum(-1) - 1
    mask = np.arange(50) < random.integers(1, 51, (num_rows, 1))
    document = [floats(num_rows, HEADS, 50, HEAD_DIM) for _ in range(4)]
    past = [floats(num_rows, HEADS, num_slots, HEAD_DIM) for _ in range(4)]
    embedded = floats(num_rows, num_new, WIDTH)
    assert_same(pair("step"), embedded, lengths, positions, visible, mask, *document, *past)
