"""Every drafter on the shipped model: the same tokens, fewer steps, and the figures that say so."""

import argparse
from typing import Any

from qdts.loadtest.bench_decoding import GATED, PLAIN, Tally, drafters, figures_of, measure
from qdts.models.evaluation.samples import load_row_file
from qdts.models.shipped import find_model


def test_ratios_are_medians_over_batches() -> None:
    plain = Tally(outputs=[[1, 2], [3]], num_steps=3, ms=[10.0, 10.0, 100.0])
    fast = Tally(outputs=[[1, 2], [4]], num_steps=2, ms=[5.0, 2.0, 1.0])
    figures = figures_of({PLAIN: plain, "fast": fast})
    assert figures[PLAIN] == {"same_rows": 2, "tokens_per_step": 1.0, "ms_per_request": 10.0, "speedup": 1.0}
    assert figures["fast"] == {"same_rows": 1, "tokens_per_step": 1.5, "ms_per_request": 2.0, "speedup": 5.0}


def test_no_drafter_changes_a_token_of_the_shipped_model() -> None:
    model, rows = find_model(""), load_row_file()[::30]
    assert model is not None
    figures: Any = measure(model, rows, argparse.Namespace(runtimes=["onnx_int8"], threads=1))
    assert figures["lossless"] and figures["rows"] == len(rows)
    by_size = figures["runtimes"]["onnx_int8"]
    assert set(by_size) == {"1", "8", "32"}
    assert all(set(by_drafter) == set(drafters()) for by_drafter in by_size.values())
    alone = by_size["1"]
    assert alone[PLAIN]["tokens_per_step"] == 1.0
    assert alone["pieces"]["tokens_per_step"] > 3 and alone[GATED]["tokens_per_step"] > 3
