"""Peaks are what was timed; floors follow from them."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest

from qdts.loadtest.roofline.counting import Work
from qdts.loadtest.roofline.peaks import INT8_OPERATOR, PeakConfig, Peaks, Probes, last_cache_bytes, median_peaks
from qdts.models.shipped import find_model

PEAKS = Peaks(int8_ops=4e9, fp32_ops=1e9, cache_read=2e9, memory_read=1e9, cache_bytes=1000)


def test_the_floor_is_the_longer_of_both() -> None:
    work = Work(int_ops=8_000_000, float_ops=1_000_000, num_bytes=1000)
    assert PEAKS.compute_ms(work) == pytest.approx(2 + 1)
    assert PEAKS.read_ms(work) == pytest.approx(0.0005)
    assert PEAKS.floor_ms(work) == pytest.approx(3)
    # What the cache cannot hold comes from memory.
    assert PEAKS.read_ms(Work(num_bytes=8_000_000)) == pytest.approx(8)
    assert PEAKS.floor_ms(Work(int_ops=4000, num_bytes=8_000_000)) == pytest.approx(8)


def test_every_peak_is_measured() -> None:
    config = PeakConfig(num_threads=2, square=64, cache_bytes=1 << 16, memory_bytes=1 << 18)
    with Probes(config) as probes:
        samples = [probes.sample() for _ in range(3)]
        assert probes.samples == samples
    median = median_peaks(samples)
    for name in ("int8_ops", "fp32_ops", "cache_read", "memory_read"):
        values = [getattr(sample, name) for sample in samples]
        assert getattr(median, name) == pytest.approx(np.median(values))
        # Between a slow core and the fastest one can dream of
        assert 1e6 < getattr(median, name) < 1e15
    assert median.cache_bytes == samples[0].cache_bytes


def test_products_are_those_of_the_shipped_graphs() -> None:
    model = find_model("")
    assert model is not None
    for name in ("encoder", "step"):
        graph = cast(Any, onnx).load(str(model / "onnx" / "int8" / f"{name}.onnx")).graph
        assert INT8_OPERATOR in {node.op_type for node in graph.node}


def test_the_last_cache_is_the_largest(tmp_path: Path) -> None:
    assert last_cache_bytes(tmp_path) == 0
    for index, size in enumerate(("48K\n", "1024K\n", "32M\n")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size)
    assert last_cache_bytes(tmp_path) == 32 << 20
