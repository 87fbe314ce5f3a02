"""One small measurement from end to end."""

import json
from functools import partial
from pathlib import Path

import pytest

from qdts.loadtest import bench_roofline
from qdts.loadtest.roofline.peaks import PeakConfig
from qdts.loadtest.roofline.phases import Sizes
from qdts.loadtest.roofline.report import table


def test_a_table_a_picture_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(PeakConfig, square=64, cache_bytes=1 << 16, memory_bytes=1 << 18)
    monkeypatch.setattr(bench_roofline, "PeakConfig", small)
    monkeypatch.setattr(bench_roofline, "Sizes", partial(Sizes, repeats=2))
    flags = ["--threads", "1", "--precisions", "int8", "--batches", "1", "2", "--tokens", "40"]
    assert bench_roofline.main([*flags, "--results", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "roofline.json").read_text())
    figures = result["figures"]
    assert figures["sizes"]["document"] == 40
    assert list(figures["lines"]["int8"]) == ["1", "2"]
    encode = figures["lines"]["int8"]["1"][0]
    assert encode["phase"] == "encode" and encode["gop"] > 0.1 and encode["megabytes"] > 10
    assert 0 < encode["floor_ms"] and 0 < encode["roofline"]
    written = (tmp_path / "roofline.md").read_text()
    assert written == table(result) and result["commit"] in written
    lines = [line for line in written.splitlines() if line.startswith("| int8 ")]
    assert len(lines) == 2 * len(figures["lines"]["int8"]["1"])
    assert len({line.count("|") for line in written.splitlines() if line.startswith("|")}) == 1
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")
