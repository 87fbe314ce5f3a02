"""Rows are split by document, each question on a document once; chance belongs to the row, not to its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from qdts.models.evaluation.contamination import Contamination
from qdts.models.evaluation.samples import SAMPLE_V1, load_row_file
from qdts.models.evaluation.splits import is_held_out
from qdts.models.training.preference_rows import PreferenceRows


def rows_of(path: Path = SAMPLE_V1, **changes: Any) -> PreferenceRows:
    return PreferenceRows((path,), **({"held_out": 0.3, "seed": 0} | changes))


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_no_document_is_on_both_sides() -> None:
    rows = rows_of()
    training, measuring = list(rows.training()), list(rows.measuring())
    assert len(training) + len(measuring) == len(load_row_file())
    assert not {row.item.document for row in training} & {row.item.document for row in measuring}
    assert 0.2 < len(measuring) / len(load_row_file()) < 0.4
    assert [row.key for row in rows.training()] == [row.key for row in training], "read anew, the same"
    other = {row.key for row in rows_of(seed=1).measuring()}
    assert other != {row.key for row in measuring}


def test_what_a_reward_needs_is_read() -> None:
    rows = {row.item.query: row.item for row in rows_of(held_out=0.0).training()}
    for row in load_row_file():
        item = rows[row.query]
        assert (item.document, item.title, item.reference, item.answers) == (
            row.document,
            row.title,
            row.references[0],
            row.answers,
        )


def test_repeated_and_blank_rows_are_left_out(tmp_path: Path) -> None:
    row = {"query": "Who?", "doc": "Mary drove. Nobody else did.", "summary": "Mary drove."}
    path = write(
        tmp_path / "rows.jsonl",
        row,
        row | {"query": "who? "},
        row | {"query": "Who drove?"},
        row | {"doc": " \n"},
        row | {"query": ""},
    )
    assert [found.item.query for found in rows_of(path, held_out=0.0).training()] == ["Who?", "Who drove?"]


def test_what_touches_the_evaluation_set_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Contamination, "load", lambda directory: Contamination(load_row_file()))
    assert not [*rows_of(evaluation=tmp_path).training(), *rows_of(evaluation=tmp_path).measuring()]


def test_unread_are_the_documents_that_preparation_holds_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def documents(**changes: Any) -> set[str]:
        return {row.item.document for row in rows_of(held_out=0.0, **changes).training()}

    every = documents()
    kept, unread = {doc for doc in every if not is_held_out(doc)}, {doc for doc in every if is_held_out(doc)}
    assert unread and documents(unread=True) == unread
    # With evaluation data that none of the rows touches
    monkeypatch.setattr(Contamination, "load", lambda directory: Contamination([]))
    assert documents(evaluation=tmp_path) == kept
    assert documents(evaluation=tmp_path, unread=True) == unread
    monkeypatch.setattr(Contamination, "load", lambda directory: Contamination(load_row_file()))
    assert documents(evaluation=tmp_path, unread=True) == set()


def test_chance_is_even_and_the_rows_own() -> None:
    rows = list(rows_of(held_out=0.0).training())
    again = {row.key: row for row in rows_of(held_out=0.0).training()}
    modes = [row.mode(0.5, 0) for row in rows]
    assert 0.35 < modes.count("indexed") / len(modes) < 0.65
    assert [again[row.key].mode(0.5, 0) for row in rows] == modes
    assert {row.mode(0.0, 0) for row in rows} == {"joint"} and {row.mode(1.0, 0) for row in rows} == {"indexed"}
    assert len({row.chance("draw", 0) for row in rows}) == len(rows)
    assert rows[0].chance("draw", 0) != rows[0].chance("draw", 1) != rows[0].chance("mode", 1)
