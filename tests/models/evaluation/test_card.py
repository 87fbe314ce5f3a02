"""A card holds what was measured, is recomputed the same way, and a difference is found."""

import copy
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import ConfigError
from qdts.models.evaluation.before_after import before_after_text
from qdts.models.evaluation.bootstrap import Score
from qdts.models.evaluation.card import Check, card_of, choose_card, compare, evaluation_of
from qdts.models.evaluation.check_table import card_text, checks_text
from qdts.models.evaluation.config import EvaluationConfig
from qdts.models.evaluation.report import Report, SystemReport
from qdts.models.evaluation.run import run_evaluation

MODEL = "joint/onnx/int8"


def score(mean: float, count: int, half: float = 0.1) -> Score:
    return Score(mean=mean, low=mean - half, high=mean + half, count=count)


def report(mean: float = 0.5, count: int = 40, **settings: object) -> Report:
    scores = {"rouge_l": score(mean, 2 * count), "words": score(40 * mean, 2 * count)}
    by_set = {name: {"rouge_l": score(mean, count), "semantic_query": score(0.1, count)} for name in ("a", "b")}
    systems = tuple(
        SystemReport(name=name, by_set=by_set, macro=scores, micro=scores, gain={}, facts={})
        for name in ("bm25_1", "minilm_1", MODEL)
    )
    known = {"rows": "mine.jsonl", "max_words": 30, "baseline_max_words": None, "rows_per_set": None}
    return Report(settings=known | settings, environment={}, num_rows={"a": count, "b": count}, systems=systems)


@pytest.fixture
def card() -> dict[str, Any]:
    return card_of(report().to_json())


def test_a_card_holds_means_without_what_needs_a_package(card: dict[str, Any]) -> None:
    assert set(card["systems"]) == {"bm25_1", MODEL}
    assert card["systems"][MODEL] == {"rouge_l": 0.5, "words": 20.0}
    assert card["by_set"][MODEL] == {"a": {"rouge_l": 0.5}, "b": {"rouge_l": 0.5}}
    assert card["evaluation"] == "mine.jsonl: 80 rows, 2 sets, mean of the sets; at most 30 words"


def test_the_same_figures_hold(card: dict[str, Any]) -> None:
    checks = compare(card, report())
    assert len(checks) == 2 * (2 + 2)
    assert all(check.holds and check.tolerance is not None for check in checks)
    assert checks_text(checks) == "8 of 8 numbers of the card hold"


@pytest.mark.parametrize(("found", "holds"), [(0.504, True), (0.494, False), (0.52, False)])
def test_on_the_same_rows_half_a_point_is_allowed(card: dict[str, Any], found: float, holds: bool) -> None:
    checks = [check for check in compare(card, report(found)) if check.set == "mean" and check.measure == "rouge_l"]
    assert [check.holds for check in checks] == [holds, holds]


def test_in_one_set_one_row_may_differ(card: dict[str, Any]) -> None:
    """40 rows: one is 2.5 points."""
    by_set = [check for check in compare(card, report(0.52)) if check.set == "a"]
    assert all(check.holds for check in by_set)
    by_set = [check for check in compare(card, report(0.53)) if check.set == "a"]
    assert not any(check.holds for check in by_set)


def test_on_fewer_rows_the_interval_decides(card: dict[str, Any]) -> None:
    near, far, few = (compare(card, report(mean, count)) for mean, count in ((0.55, 30), (0.9, 30), (0.9, 8)))
    assert all(check.holds for check in near if check.measure == "rouge_l")
    assert not any(check.holds for check in far if check.measure == "rouge_l")
    assert all(check.tolerance is None and check.holds for check in few if check.measure == "rouge_l")
    assert "not compared: fewer than 20 rows" in checks_text(few)


def test_differences_are_shown(card: dict[str, Any]) -> None:
    wrong = copy.deepcopy(card)
    wrong["systems"][MODEL]["rouge_l"] = 0.61
    text = checks_text(compare(wrong, report()))
    assert "7 of 8 numbers" in text
    assert MODEL in text and "0.6100" in text and "-0.1100" in text and "bm25_1" not in text


def test_a_card_is_chosen_by_its_rows(card: dict[str, Any], tmp_path: Path) -> None:
    sample = card_of(report(rows="sample_v1.jsonl").to_json())
    metrics = {**card, "sample": sample}
    assert choose_card(metrics, None) == sample
    assert choose_card(metrics, tmp_path / "mine.jsonl") is metrics
    with pytest.raises(ConfigError, match=r"no metrics for eval_v1; it has some for: mine\.jsonl, sample_v1\.jsonl"):
        choose_card(metrics, tmp_path)
    assert choose_card({"systems": {MODEL: {}}}, tmp_path)  # of before settings were written: the frozen split
    with pytest.raises(ConfigError, match="it has some for: none"):
        choose_card({}, None)


def test_a_card_says_how_to_compute_it_again(card: dict[str, Any], tmp_path: Path) -> None:
    config = evaluation_of(card, tmp_path, None, 7)
    assert (config.systems, config.modes, config.precisions) == (("bm25_1",), ("joint",), ("int8",))
    assert (config.max_words, config.rows_per_set, config.semantic) == (30, 7, False)
    card["settings"]["rows_per_set"] = 3
    assert evaluation_of(card, tmp_path, None, 7).rows_per_set == 3
    with pytest.raises(ConfigError, match="no result of the model"):
        evaluation_of({"systems": {"bm25_1": {}}}, tmp_path, None, None)


def test_a_real_evaluation_verifies_itself() -> None:
    config = EvaluationConfig(rows_per_set=2, systems=("bm25_1", "lead_1"), semantic=False, progress=False)
    found = run_evaluation(config)
    checks = compare(card_of(found.to_json()), found)
    assert checks and all(check.holds for check in checks)


@pytest.mark.parametrize("values", [{}, {"settings": {}}, {"settings": {}, "systems": [{}], "num_rows": {}}])
def test_what_is_no_report_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="not a report"):
        card_of(values)


def test_tables_for_people(card: dict[str, Any]) -> None:
    text = card_text(card)
    assert "50.0/-/20.0" in text and text.splitlines()[1].split() == ["system", "mean", "a", "b"]
    assert card_text({}) == ""
    both = before_after_text(report(), report(0.6), card, card)
    assert f"before: {MODEL}" in both and f"after: {MODEL}" in both and "60.0" in both
    assert "sample that ships" not in before_after_text(report(), report(), {}, {})


def test_a_check_that_cannot_be_made_holds() -> None:
    assert Check(system="s", set="a", measure="m", on_card=1, found=0, tolerance=None).holds
