"""The shipped sample: small, attributed, and part of the frozen split."""

import json
from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.models.evaluation.rows import read_fields
from qdts.models.evaluation.samples import SAMPLE_SETS, SAMPLE_V1, build_sample, load_row_file
from qdts.models.evaluation.splits import evaluation_ids

MAX_BYTES = 250_000


def test_every_row_is_an_evaluation_row_with_licence_and_source() -> None:
    ids = evaluation_ids()
    rows = list(read_fields(SAMPLE_V1))
    assert len(rows) == sum(sample_set.num_rows for sample_set in SAMPLE_SETS.values())
    for row in rows:
        assert row["id"] in ids[str(row["set"])]
        assert row["licence"] == SAMPLE_SETS[str(row["set"])].licence
        assert row["source"]
    assert SAMPLE_V1.stat().st_size < MAX_BYTES


def test_the_attribution_page_names_every_set_with_its_count() -> None:
    page = (SAMPLE_V1.parent / "README.md").read_text(encoding="utf-8")
    for name, sample_set in SAMPLE_SETS.items():
        assert f"| {name} | {sample_set.num_rows} |" in page
    assert f"{sum(each.num_rows for each in SAMPLE_SETS.values())} rows" in page


def test_a_file_of_ones_own_needs_three_fields(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"query": "q", "doc": "d", "summary": "s"}), encoding="utf-8")
    (row,) = load_row_file(path)
    assert (row.set, row.query, row.document, row.references, row.answers) == ("mine", "q", "d", ("s",), ())


def test_no_file_and_no_row_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no row"):
        load_row_file(empty)
    with pytest.raises(ConfigError, match="no file"):
        load_row_file(tmp_path / "none.jsonl")


def test_the_sample_can_be_built_again_from_full_data(tmp_path: Path) -> None:
    """The data is not here, so the sample stands in for it: what was drawn once is drawn again."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    for name in SAMPLE_SETS:
        rows = [json.dumps(row) for row in read_fields(SAMPLE_V1) if row["set"] == name]
        (data_dir / f"{name}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    again = tmp_path / "again.jsonl"
    assert build_sample(data_dir, again) == len(load_row_file())
    assert again.read_bytes() == SAMPLE_V1.read_bytes()
