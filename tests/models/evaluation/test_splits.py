"""The frozen split is what it was, and the rule that made it does what it says."""

import json
from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.models.evaluation import splits
from qdts.models.evaluation.samples import load_row_file
from qdts.models.evaluation.splits import (
    EVAL_V1,
    evaluation_ids,
    freeze_splits,
    is_held_out,
    limit_ids,
    load_rows,
    normalise,
)

# Written here too, so that neither the file nor its own digest can be changed unseen.
EVAL_V1_SHA256 = "fe6e0d2638e2e1e77298e48e286d70c83f70a1d86133ddd816af3fcc007a233b"


def test_the_frozen_split_is_the_one_released() -> None:
    frozen = json.loads(EVAL_V1.read_text(encoding="utf-8"))
    ids = evaluation_ids()
    assert frozen["sha256"] == EVAL_V1_SHA256
    assert set(ids) == set(splits.EVALUATION_SETS)
    assert frozen["counts"] == {name: len(rows) for name, rows in ids.items()}
    assert sum(len(rows) for rows in ids.values()) == 2061
    assert max(len(rows) for rows in ids.values()) == splits.MAX_ROWS_PER_SET


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    frozen = json.loads(EVAL_V1.read_text(encoding="utf-8"))
    frozen["sets"]["squad_dev"].pop()
    changed = tmp_path / "eval_v1.json"
    changed.write_text(json.dumps(frozen), encoding="utf-8")
    with pytest.raises(ConfigError, match="SHA-256"):
        evaluation_ids(path=changed)


def test_quick_is_a_fixed_part_of_the_whole() -> None:
    ids, quick = evaluation_ids(), evaluation_ids(quick=True)
    assert {len(rows) for rows in quick.values()} == {25}
    assert all(quick[name] <= ids[name] for name in ids)
    assert quick == limit_ids(ids, 25) == limit_ids(limit_ids(ids, 60), 25)


def test_documents_of_the_sample_are_held_out() -> None:
    """The sample's documents were cleaned of their title line, so the hash holds where there was none."""
    rows = [row for row in load_row_file() if row.set in ("squad_dev", "selqa_dev_test", "doc2dial_val")]
    assert len(rows) > 60
    assert all(is_held_out(row.document) for row in rows)


def test_white_space_case_and_width_do_not_change_the_side() -> None:
    assert normalise(" Ｔhe\u00a0 ENGINE\n") == "the engine"
    assert is_held_out("The engine was built") == is_held_out("the  ENGINE was\nbuilt ")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Every set with one document on the evaluation side, one on the other, and each trap once."""
    held_out = next(text for text in map("document {}".format, range(1000)) if is_held_out(text))
    training = next(text for text in map("document {}".format, range(1000)) if not is_held_out(text))
    for name in splits.EVALUATION_SETS:
        row = {"id": f"{name}-kept", "query": f"{name}?", "doc": held_out, "summary": "s", "split": "test"}
        rows = [
            row,
            row | {"id": f"{name}-repeat", "query": f"{name.upper()}?"},
            row | {"id": f"{name}-selected", "query": "a", "doc_selected": True},
            row | {"id": f"{name}-later-turn", "query": "b", "history": ["user: hello"]},
            row | {"id": f"{name}-other", "query": "c", "doc": training, "split": "train"},
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def test_the_rule(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "split" / "eval.json"
    expected = {name: [f"{name}-kept"] for name in splits.EVALUATION_SETS}
    assert freeze_splits(data_dir, path) == expected
    assert evaluation_ids(path=path) == {name: frozenset(ids) for name, ids in expected.items()}


def test_rows_come_back_by_id(data_dir: Path) -> None:
    rows = load_rows(data_dir, {"squad_dev": ["squad_dev-kept"], "qmsum": ["qmsum-other", "qmsum-kept"]})
    assert [(row.set, row.id) for row in rows] == [
        ("qmsum", "qmsum-kept"),
        ("qmsum", "qmsum-other"),
        ("squad_dev", "squad_dev-kept"),
    ]


def test_a_missing_row_is_named(data_dir: Path) -> None:
    with pytest.raises(ConfigError, match="squad_dev: 1 evaluation rows missing, such as 'gone'"):
        load_rows(data_dir, {"squad_dev": ["gone", "squad_dev-kept"]})
