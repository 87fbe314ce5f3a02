"""The whole of an evaluation, on a few rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import ConfigError
from qdts.models.evaluation.config import EvaluationConfig
from qdts.models.evaluation.report import Report
from qdts.models.evaluation.run import run_evaluation

FAST: dict[str, Any] = {
    "systems": ("lead_1", "bm25_1", "oracle_1", "rung_extractive"),
    "semantic": False,
    "progress": False,
}


def by_name(report: Report) -> dict[str, float]:
    return {system.name: system.macro["rouge_l"].mean for system in report.systems}


def test_the_shipped_sample_ranks_the_baselines(tmp_path: Path) -> None:
    report = run_evaluation(EvaluationConfig(out_dir=tmp_path, **FAST))
    scores = by_name(report)
    assert sum(report.num_rows.values()) == 122
    assert scores["oracle_1"] > 0.7 > scores["bm25_1"] > scores["lead_1"] > 0.1
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"report.json", "report.md", "report.png", "outputs.jsonl"}
    outputs = [json.loads(line) for line in (tmp_path / "outputs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(outputs) == 4 * 122
    assert {"system", "set", "id", "summary", "rouge_l"} <= outputs[0].keys()


def test_the_same_configuration_gives_the_same_report() -> None:
    config = EvaluationConfig(rows_per_set=3, **FAST)
    first, again = run_evaluation(config), run_evaluation(config)
    assert first.systems == again.systems
    assert set(first.num_rows.values()) == {3}


def test_a_file_of_ones_own_and_chosen_sets(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    row = {"query": "Who?", "doc": "It rained. Ann came.", "summary": "Ann came.", "answer": "Ann"}
    rows = [row | {"set": "a"}, row | {"set": "b"}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    report = run_evaluation(EvaluationConfig(data=path, sets=("b",), **FAST))
    assert report.num_rows == {"b": 1}
    assert report.settings["rows"] == "mine.jsonl"
    assert by_name(report)["oracle_1"] == 1.0
    assert str(tmp_path) not in json.dumps(report.to_json())


def test_a_directory_means_the_frozen_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither squad_dev\.jsonl"):
        run_evaluation(EvaluationConfig(data=tmp_path, sets=("squad_dev",), **FAST))
    with pytest.raises(ConfigError, match="'nowhere' is not one of"):
        run_evaluation(EvaluationConfig(data=tmp_path, sets=("nowhere",), **FAST))


def test_without_embeddings_the_report_says_so() -> None:
    config = EvaluationConfig(rows_per_set=1, systems=("lead_1", "minilm_1"), semantic=False, progress=False)
    report = run_evaluation(config)
    assert [system.name for system in report.systems] == ["lead_1"]
    assert "minilm_1" in report.notes[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_words": 0}, "max_words must be between 1 and 1000, is 0"),
        ({"baseline_max_words": 1001}, "baseline_max_words must be between 1 and 1000, is 1001"),
        ({"rows_per_set": 0}, "rows_per_set must be at least 1, is 0"),
        ({"systems": ()}, "nothing to evaluate"),
        ({"systems": ("bm25",)}, "'bm25' is not one of lead_1"),
        ({"modes": ("both",)}, "modes: 'both' is not one of joint, indexed"),
        ({"runtimes": ("tf",)}, "runtimes: 'tf' is not one of onnx, eager"),
        ({"precisions": ("fp8",)}, "precisions: 'fp8' is not one of int8, fp32"),
    ],
)
def test_bad_settings_name_value_and_bound(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluationConfig(**settings)
