"""Ragged rows are read as they were written; what was not finished is not there."""

from pathlib import Path

import numpy as np
import pytest

from qdts.models.training.ragged import RaggedReader, RaggedWriter, Row

COLUMNS = {"ids": "uint16", "numbers": "float64"}
ROWS: list[Row] = [
    {"ids": np.array([1, 2, 65535]), "numbers": np.array([0.5])},
    {"ids": np.zeros(0, np.int64), "numbers": np.array([-1.25, 1e300])},
    {"ids": np.array([7]), "numbers": np.zeros(0)},
]


def write(directory: Path, rows: list[Row]) -> None:
    with RaggedWriter(directory, COLUMNS, {"seed": 3}) as writer:
        for row in rows:
            writer.append(row)


def test_written_and_read(tmp_path: Path) -> None:
    write(tmp_path / "set", ROWS)
    reader = RaggedReader(tmp_path / "set")
    assert len(reader) == 3 and reader.about == {"seed": 3}
    assert reader.lengths["ids"].tolist() == [3, 0, 1]
    for row, expected in zip(reader, ROWS, strict=True):
        assert {name: array.tolist() for name, array in row.items()} == {n: a.tolist() for n, a in expected.items()}
        assert {name: array.dtype.name for name, array in row.items()} == COLUMNS
    with pytest.raises(IndexError, match="row 3 of 3"):
        reader[3]


@pytest.mark.parametrize("rows", [[], [{"ids": np.zeros(0), "numbers": np.zeros(0)}]])
def test_nothing_is_a_set_too(tmp_path: Path, rows: list[Row]) -> None:
    write(tmp_path / "set", rows)
    assert [[len(array) for array in row.values()] for row in RaggedReader(tmp_path / "set")] == [[0, 0]] * len(rows)


def test_what_is_not_finished_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RaggedWriter(tmp_path / "set", COLUMNS, {}) as writer:
        writer.append(ROWS[0])
        raise KeyboardInterrupt
    assert not (tmp_path / "set").exists()
    write(tmp_path / "set", ROWS[1:])
    assert len(RaggedReader(tmp_path / "set")) == 2


def test_a_row_has_every_column(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="columns"), RaggedWriter(tmp_path / "set", COLUMNS, {}) as writer:
        writer.append({"ids": np.zeros(1)})
