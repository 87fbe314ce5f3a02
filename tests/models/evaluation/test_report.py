"""Scores over sets, and the tables and the picture made of them."""

from pathlib import Path

import pytest

from qdts.models.evaluation.plot import save_plot
from qdts.models.evaluation.report import Measured, Report, score_systems
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.tables import to_markdown, to_text

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def row(set_name: str, row_id: str) -> EvalRow:
    return EvalRow(id=row_id, set=set_name, query="q", title="", document="d", references=("r",))


ROWS = [row("big", "1"), row("big", "2"), row("big", "3"), row("small", "4")]


def measured(name: str, rouge_l: list[float], answers: list[float]) -> Measured:
    """ROUGE-L for every row; answers only for the first rows, as many as are given."""
    measures = [{"rouge_l": value, "words": 10.0} for value in rouge_l]
    for of_row, answer in zip(measures, answers, strict=False):
        of_row["answer_contained"] = answer
    return Measured(name=name, texts=["t"] * len(rouge_l), measures=measures, facts=[{"elapsed_ms": 2.0}] * 4)


@pytest.fixture
def report() -> Report:
    systems = [
        measured("bm25_1", [0.0, 0.3, 0.6, 0.1], [1, 0, 1]),
        measured("joint/onnx/int8", [0.3, 0.6, 0.9, 0.3], [1, 1, 1]),
    ]
    return Report(
        settings={"seed": 0},
        environment={"machine": {}},
        num_rows={"big": 3, "small": 1},
        systems=score_systems(ROWS, systems, seed=0),
        notes=("A note.",),
    )


def test_macro_weighs_sets_and_micro_rows(report: Report) -> None:
    bm25 = report.systems[0]
    assert bm25.by_set["big"]["rouge_l"].mean == pytest.approx(0.3)
    assert bm25.macro["rouge_l"].mean == pytest.approx((0.3 + 0.1) / 2)
    assert bm25.micro["rouge_l"].mean == pytest.approx(1.0 / 4)
    assert bm25.facts == {"elapsed_ms": 2.0}


def test_a_set_without_answers_does_not_count_as_zero(report: Report) -> None:
    bm25 = report.systems[0]
    assert "answer_contained" not in bm25.by_set["small"]
    assert bm25.macro["answer_contained"].mean == pytest.approx(2 / 3)


def test_the_gain_is_paired(report: Report) -> None:
    bm25, model = report.systems
    gain = model.gain["rouge_l"]
    assert bm25.gain == {}
    assert gain.mean == pytest.approx((0.3 + 0.2) / 2)
    # Every row of a set gains the same, so drawing rows again changes nothing.
    assert (gain.low, gain.high) == (pytest.approx(gain.mean), pytest.approx(gain.mean))


def test_tables_show_every_system_and_set(report: Report) -> None:
    for page in (to_text(report), to_markdown(report)):
        assert page.count("joint/onnx/int8") == 5
        assert "big (3)" in page and "small (1)" in page
        assert "+25.0 [+25.0, +25.0]" in page
        assert "A note." in page
    assert "| bm25_1 | 66.7 |" in to_markdown(report)


def test_text_columns_line_up(report: Report) -> None:
    first_table = to_text(report).split("\n\n")[0].splitlines()[1:]
    assert len({len(line) for line in first_table}) == 1


def test_json_holds_every_score(report: Report, tmp_path: Path) -> None:
    report.save_json(tmp_path / "new" / "report.json")
    values = report.to_json()
    assert values["systems"][1]["by_set"]["big"]["rouge_l"]["mean"] == 0.6  # type: ignore[index]
    assert values["reference_system"] == "bm25_1"
    assert (tmp_path / "new" / "report.json").stat().st_size > 500


def test_the_picture_is_a_png(report: Report, tmp_path: Path) -> None:
    save_plot(report, tmp_path / "new" / "report.png")
    assert (tmp_path / "new" / "report.png").read_bytes().startswith(PNG_MAGIC)
