"""Clipping never makes the output worse, and helps where a weight has an outlier that the inputs hardly touch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.export.clips import GRID, quantize_weight, weight_limit


def output_errors(inputs: np.ndarray, weight: np.ndarray, restored: np.ndarray) -> np.ndarray:
    return np.square(inputs @ (weight - restored), dtype=np.float64).sum(axis=0)


@given(st.integers(0, 2**32 - 1), st.sampled_from([7, 8]))
def test_no_channel_is_worse_than_unclipped(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(40, 12)).astype(np.float32)
    weight = rng.standard_t(2, size=(12, 6)).astype(np.float32)
    gram = inputs.T @ inputs
    plain, chosen = quantize_weight(weight, bits=bits), quantize_weight(weight, bits=bits, gram=gram)
    before = output_errors(inputs, weight, plain.dequantized())
    after = output_errors(inputs, weight, chosen.dequantized())
    assert (after <= before * 1.001 + 1e-6).all()
    assert (plain.clips == 1).all()
    assert {round(float(clip), 2) for clip in chosen.clips} <= set(GRID)


def test_an_outlier_that_is_never_multiplied_is_clipped() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(64, 4)).astype(np.float32)
    weight[0] = 12
    inputs = rng.normal(size=(200, 64)).astype(np.float32)
    inputs[:, 0] = 0
    chosen = quantize_weight(weight, bits=7, gram=inputs.T @ inputs)
    plain = quantize_weight(weight, bits=7)
    assert (chosen.clips < 0.6).all()
    assert (
        output_errors(inputs, weight, chosen.dequantized()) < 0.5 * output_errors(inputs, weight, plain.dequantized())
    ).all()


@pytest.mark.parametrize(("bits", "limit"), [(7, 63), (8, 127)])
def test_integers_stay_within_their_bits(bits: int, limit: int) -> None:
    weight = np.random.default_rng(1).normal(size=(30, 5)).astype(np.float32)
    weight[:, 2] = 0
    quantized = quantize_weight(weight, bits=bits, gram=np.eye(30, dtype=np.float32))
    assert weight_limit(bits) == limit
    assert np.abs(quantized.values.astype(int)).max() == limit
    np.testing.assert_array_equal(quantized.dequantized()[:, 2], 0)
    error = np.abs(quantize_weight(weight, bits=bits).dequantized() - weight)
    assert (error <= quantized.scale / 2 * 1.001 + 1e-7).all() or (quantized.clips < 1).any()
