"""Means over seeds, gains row by row."""

from pathlib import Path
from typing import Any

import pytest

from qdts.loadtest.ablation.table import save_plot, table_lines, to_markdown
from qdts.loadtest.ablation.trial import FIRST_SENTENCE
from qdts.models.evaluation.metrics import ANSWER_CONTAINED, ROUGE_L, WORDS

COST = {"flops": 2e6, "weight_bytes": 3e6, "state_bytes": 1e6, "steps": 1.5}


def result(name: str, seed: int, rouge: dict[str, list[float]]) -> dict[str, Any]:
    """ROUGE-L by set and row; other measures are constant."""
    rows = [
        {
            "set": group,
            "id": str(index),
            "measures": {ROUGE_L: value, ANSWER_CONTAINED: 1.0, FIRST_SENTENCE: 0.5, WORDS: 9},
        }
        for group, values in rouge.items()
        for index, value in enumerate(values)
    ]
    return {
        "variant": {"name": name},
        "seed": seed,
        "parameters": 3_000_000,
        "inner_parameters": 1_000_000,
        "training": {"marker_accuracy": 0.5, "tokens_per_cpu_s": 1000 * (seed + 1)},
        "modes": {"joint": {"rows": rows, "cost": COST}},
    }


@pytest.fixture
def results() -> list[dict[str, Any]]:
    return [
        result("base", 0, {"a": [0.2, 0.4], "b": [0.5]}),
        result("base", 1, {"a": [0.4, 0.6], "b": [0.7]}),
        result("other", 0, {"a": [0.4, 0.6], "b": [0.7]}),
    ]


def test_means_are_over_sets_then_seeds(results: list[dict[str, Any]]) -> None:
    base, other = table_lines(results)
    assert base.means[ROUGE_L] == pytest.approx(((0.3 + 0.5) / 2 + (0.5 + 0.7) / 2) / 2)
    assert base.spread[ROUGE_L] == pytest.approx(0.1)
    assert (base.seeds, other.seeds) == ((0, 1), (0,))
    assert (other.spread[ROUGE_L], base.tokens_per_cpu_s) == (0, 1500)


def test_gains_are_row_by_row(results: list[dict[str, Any]]) -> None:
    base, other = table_lines(results)
    assert base.gain == {}
    gain = other.gain[ROUGE_L]
    assert (gain.mean, gain.low, gain.high) == pytest.approx((0.1, 0.1, 0.1)) and gain.count == 3
    assert table_lines(results[2:])[0].gain == {}, "nothing to compare with"


def test_the_table_and_the_picture(results: list[dict[str, Any]], tmp_path: Path) -> None:
    lines = table_lines(results)
    header, _, base, other = to_markdown(lines).splitlines()
    assert header.count("|") == base.count("|") == other.count("|")
    assert "50.0 ± 10.0" in base and "+10.0 [+10.0, +10.0]" in other and "| 4.0 |" in base
    save_plot(lines, tmp_path / "table.png")
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
