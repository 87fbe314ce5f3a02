"""The ablation from end to end with toy nets: every kind of trial trains, answers and is not run twice."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qdts.errors import ConfigError
from qdts.loadtest.ablation.data import AblationData, DataConfig
from qdts.loadtest.ablation.variants import VARIANTS
from qdts.loadtest.bench_ablation import QUICK_VARIANTS, Plan, figures, main, quick_plan, run_plan
from qdts.models.tokenizer import FIRST_MARKER, NUM_MARKERS
from qdts.models.training.data.config import PrepareConfig, Source
from qdts.models.training.dataset import ExampleSet


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The loop sets the number of threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return quick_plan(tmp_path_factory.mktemp("ablation"))


@pytest.fixture(scope="module")
def results(plan: Plan) -> list[dict[str, Any]]:
    return run_plan(plan)


def test_every_trial_has_a_result_in_each_of_its_modes(plan: Plan, results: list[dict[str, Any]]) -> None:
    assert [result["variant"]["name"] for result in results] == list(QUICK_VARIANTS)
    for variant, result in zip(plan.variants, results, strict=True):
        assert tuple(result["modes"]) == variant.modes
        for mode in result["modes"].values():
            assert len(mode["rows"]) == 12  # two rows of six sets
            assert all(row["measures"]["copied_4grams"] == 1.0 for row in mode["rows"])
            assert any("first_sentence" in row["measures"] for row in mode["rows"])
            assert mode["cost"]["flops"] > 1e5 and 1 <= mode["cost"]["steps"] <= mode["cost"]["output_tokens"]


def test_known_states_cost_less(results: list[dict[str, Any]]) -> None:
    modes = results[0]["modes"]
    assert modes["indexed"]["cost"]["flops"] < modes["joint"]["cost"]["flops"]


def test_a_trial_with_a_result_is_not_run_again(plan: Plan, results: list[dict[str, Any]]) -> None:
    for path in plan.out.glob("trials/*/checkpoint.pt"):
        path.unlink()
    assert run_plan(plan) == results
    assert not list(plan.out.glob("trials/*/checkpoint.pt"))
    assert run_plan(plan, train=False) == results


def test_nothing_is_trained_for_a_report(plan: Plan, tmp_path: Path) -> None:
    assert run_plan(replace(plan, out=tmp_path), train=False) == []


def test_a_trial_out_of_time_has_no_result_and_goes_on_later(plan: Plan, tmp_path: Path) -> None:
    short = replace(plan, out=tmp_path, variants=plan.variants[:1], max_minutes=1e-9)
    assert run_plan(short) == []
    assert (tmp_path / "trials" / "base-0" / "checkpoint.pt").is_file()
    (result,) = run_plan(replace(short, max_minutes=1.0))
    assert result["training"]["steps"] == plan.num_steps


def test_hints_are_a_switch_of_the_prompt(plan: Plan) -> None:
    data = AblationData(plan.data)
    counts: dict[str, int] = {}
    for variant in plan.variants[:2]:
        prefix = ExampleSet(data.examples(variant))[0].prefix
        counts[variant.name] = int(((prefix >= FIRST_MARKER) & (prefix < FIRST_MARKER + NUM_MARKERS)).sum())
    assert counts["base"] > 0 and counts["no_hints"] == 0


def test_table_and_figures_are_written(plan: Plan, results: list[dict[str, Any]]) -> None:
    table = (plan.out / "ablation.md").read_text(encoding="utf-8")
    assert len(table.splitlines()) == 2 + 5  # two modes, two modes, one
    assert (plan.out / "ablation.png").is_file()
    written = json.loads(json.dumps(figures(plan, results)))
    assert 0 < written["hints"]["first"] <= written["hints"]["any"] <= 1
    assert written["trials"] == 3 and len(written["table"]) == 5 and len(written["full_size"]) == 5


def test_bad_settings_name_field_and_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = PrepareConfig(model=tmp_path, out=tmp_path, sources=(Source(paths=(tmp_path / "rows.jsonl",)),))
    with pytest.raises(ConfigError, match="rows_per_set must be at least 1, is 0"):
        DataConfig(out=tmp_path, rows=rows, rows_per_set=0)
    with pytest.raises(ConfigError, match="corpus must name files to make a vocabulary of 16384"):
        AblationData(DataConfig(out=tmp_path, rows=rows)).builder(VARIANTS[0])
    with pytest.raises(SystemExit):
        main(["--steps", "3"])
    assert "--data is needed" in capsys.readouterr().err
