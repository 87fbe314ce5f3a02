"""Runtimes against the oracle: fp32 token for token, int8 mostly."""

from collections.abc import Callable

import numpy as np
import pytest

from qdts.models.runtimes.base import Floats, Ids, Runtime

Load = Callable[[str], Runtime]


def inputs(seed: int) -> tuple[list[Ids], list[Floats | None]]:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 200, 4)
    features = [random.random((length, 4), np.float32) for length in lengths]
    return [random.integers(2, 128, length) for length in lengths], [*features[:3], None]


def greedy(runtime: Runtime, seed: int, num_tokens: int) -> Ids:
    documents, features = inputs(seed)
    batch = runtime.start(runtime.encode(documents), features)
    tokens = np.zeros((4, num_tokens + 1), np.int64)
    for step in range(num_tokens):
        tokens[:, step + 1 : step + 2] = runtime.step(batch, tokens[:, step : step + 1], np.ones(4, np.int64))
    return tokens[:, 1:]


def forced(runtime: Runtime, seed: int, tokens: Ids) -> Ids:
    """The choice after each of the given tokens."""
    documents, features = inputs(seed)
    batch = runtime.start(runtime.encode(documents), features)
    return runtime.step(batch, tokens, np.full(4, tokens.shape[1]))


FP32 = ("onnx-fp32", "tensorrt-fp32")


@pytest.mark.parametrize("kind", FP32)
@pytest.mark.parametrize("seed", range(6))
def test_fp32_is_eager_token_for_token(load: Load, kind: str, seed: int) -> None:
    assert greedy(load(kind), seed, 48).tolist() == greedy(load("eager"), seed, 48).tolist()


@pytest.mark.parametrize("kind", FP32)
def test_states_of_fp32_are_those_of_eager(load: Load, kind: str) -> None:
    documents, _ = inputs(0)
    pairs = zip(load(kind).encode(documents), load("eager").encode(documents), strict=True)
    for ours, oracle in pairs:
        np.testing.assert_allclose(ours.hidden, oracle.hidden, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "least", "most"), [("onnx-int8", 0.8, 0.1), ("tensorrt-fp16", 0.97, 0.01)])
def test_fewer_bits_agree_mostly(load: Load, kind: str, least: float, most: float) -> None:
    """A random network decides by small margins: the bound is on states, and loose on choices."""
    same: list[float] = []
    for seed in range(6):
        tokens = np.random.default_rng(seed).integers(2, 128, (4, 48))
        same.append(float((forced(load(kind), seed, tokens) == forced(load("eager"), seed, tokens)).mean()))
    assert np.mean(same) > least, same
    documents, _ = inputs(0)
    for ours, oracle in zip(load(kind).encode(documents), load("eager").encode(documents), strict=True):
        error = np.linalg.norm(ours.hidden - oracle.hidden) / np.linalg.norm(oracle.hidden)
        assert error < most
