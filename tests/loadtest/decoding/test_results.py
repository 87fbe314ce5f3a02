"""Results of several runs: the newest of each batch size, of one model alone."""

import json
from pathlib import Path
from typing import Any

from qdts.loadtest.decoding.drafters import GATED, PLAIN
from qdts.loadtest.decoding.results import add_batch, load_runtimes, missing, summarize


def batch(rows: int, ratio: float, same: int | None = None, speedup: float = 2.0, **facts: Any) -> dict[str, Any]:
    drafter = {"tokens_per_step": 9.0, "speedup": speedup, "same_rows": rows if same is None else same}
    ratios = {"median": ratio, "low": ratio, "high": ratio, "pairs": 3}
    return {"rows": rows, "gated_vs_plain": ratios, "drafters": {PLAIN: drafter, GATED: drafter}, **facts}


def test_what_is_measured_anew_replaces_what_was_there() -> None:
    runtimes: dict[str, Any] = {"onnx_int8": {"unavailable": "no"}}
    for size, rows in ((8, 100), (1, 20), (8, 50)):
        add_batch(runtimes, "onnx_int8", size, batch(rows, 0.5))
    assert runtimes["onnx_int8"].keys() == {"batches"}
    batches = runtimes["onnx_int8"]["batches"]
    assert [(size, found["rows"]) for size, found in batches.items()] == [("1", 20), ("8", 50)]


def test_what_was_measured_so_is_not_missing() -> None:
    runtimes: dict[str, Any] = {}
    add_batch(runtimes, "a", 8, batch(100, 0.5, commit="x"))
    add_batch(runtimes, "a", 1, batch(20, 0.5, commit="x"))
    assert missing(runtimes, "a", [1, 8, 32], {"rows": 100, "commit": "x"}, check=8) == [32]
    assert missing(runtimes, "a", [1, 8], {"rows": 200, "commit": "x"}, check=8) == [8]
    assert missing(runtimes, "a", [1, 8], {"rows": 100, "commit": "y"}, check=8) == [1, 8]
    assert missing(runtimes, "b", [1], {"rows": 100}, check=8) == [1]
    # Results that were written meanwhile are no change of the code.
    assert missing(runtimes, "a", [1, 8], {"rows": 100, "commit": "x+"}, check=8) == []


def test_the_headline_is_int8s_and_the_bars_are_everybodys() -> None:
    runtimes: dict[str, Any] = {"gpu": {"unavailable": "none here"}}
    add_batch(runtimes, "eager_fp32", 8, batch(60, 1.2, speedup=9.0))
    add_batch(runtimes, "onnx_int8", 1, batch(20, 0.4, speedup=4.0))
    add_batch(runtimes, "onnx_int8", 8, batch(80, 0.9, speedup=2.0))
    figures = summarize("m", runtimes)
    assert (figures["rows"], figures["lossless"]) == (60, True)
    assert (figures["decode_speedup"], figures["worst_batch_ratio"]) == (4.0, 0.9)
    assert figures["worst_ratio_of_any_runtime"] == 1.2
    add_batch(runtimes, "eager_fp32", 1, batch(60, 1.0, same=59))
    assert not summarize("m", runtimes)["lossless"]
    assert not summarize("m", {})["lossless"]


def test_another_models_results_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "decoding.json"
    assert load_runtimes(path, "m") == {}
    path.write_text(json.dumps({"figures": {"model": "m", "runtimes": {"a": {}}}}))
    assert load_runtimes(path, "m") == {"a": {}}
    assert load_runtimes(path, "other") == {}
