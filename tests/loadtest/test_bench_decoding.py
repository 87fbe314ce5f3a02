"""Every drafter on the shipped model, in a process of its own: the same tokens, fewer steps, results that merge."""

import json
from pathlib import Path
from typing import Any

import pytest

from qdts.loadtest import bench_decoding
from qdts.loadtest.decoding.drafters import GATED, PLAIN, drafters
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file

ROWS = 4


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(data: Path | None, num_rows: int) -> list[EvalRow]:
        return load_row_file()[::30][: min(num_rows, ROWS)]

    monkeypatch.setattr(bench_decoding, "choose_rows", choose)


def test_runs_merge_and_resume(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    common = ["--threads", "1", "--results", str(tmp_path), "--check", "2"]
    assert bench_decoding.main([*common, "--runtimes", "onnx_int8", "--batches", "2", "--timing-rows", "2"]) == 0
    first = json.loads((tmp_path / "decoding.json").read_text())["figures"]
    check = first["runtimes"]["onnx_int8"]["batches"]["2"]
    assert set(check["drafters"]) == set(drafters())
    assert all(drafter["same_rows"] == check["rows"] == ROWS for drafter in check["drafters"].values())
    assert check["drafters"][PLAIN]["tokens_per_step"] == 1.0
    assert min(check["drafters"][name]["tokens_per_step"] for name in ("pieces", GATED)) > 3
    assert check["gated_vs_plain"]["pairs"] >= 24
    assert check["peak_memory_mb"] > 50 and check["read_ms"] > 0

    # Batch size 2 is there and stays as it is; a runtime that is not to be had is told, not fatal.
    runtimes = ["--runtimes", "onnx_int8", "tensorrt_fp16"]
    assert bench_decoding.main([*common, *runtimes, "--batches", "1", "2", "--timing-rows", "2", "--resume"]) == 0
    merged: Any = json.loads((tmp_path / "decoding.json").read_text())["figures"]
    batches = merged["runtimes"]["onnx_int8"]["batches"]
    assert list(batches) == ["1", "2"]
    assert batches["2"] == check and batches["1"]["rows"] == 2
    assert merged["runtimes"]["tensorrt_fp16"].keys() == {"unavailable"}
    assert merged["rows"] == ROWS and merged["lossless"]
    assert (tmp_path / "decoding.png").read_bytes().startswith(b"\x89PNG")
    assert "tensorrt_fp16" in capfd.readouterr().err


def test_a_quick_run_says_what_gates_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert bench_decoding.main(["--quick", "--json", "--threads", "1", "--batches", "1", "8"]) == 0
    figures = json.loads(capfd.readouterr().out.splitlines()[-1])["figures"]
    assert {"lossless", "rows", "tokens_per_step", "decode_speedup", "worst_batch_ratio"} <= set(figures)
    assert figures["lossless"] is True and figures["rows"] == ROWS
    assert figures["tokens_per_step"] > 3


def test_a_runtime_without_a_known_precision_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_decoding.main(["--runtimes", "onnx"])
    assert "--runtimes onnx: onnx is no precision; known: int8, fp32" in capsys.readouterr().err
