"""Counts add up, and the licence table adds up to them."""

import json
from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.models.training.data.tally import Origin, Tally, licence_table


@pytest.fixture
def tally() -> Tally:
    tally = Tally()
    tally.num_read.update({"a": 10, "b": 5})
    tally.drop("a", "repeated row")
    tally.drop("b", "repeated row")
    tally.drop("b", "document too short")
    for kind, licence, count in (("k", "CC0", 5), ("", "CC0", 2), ("k", "MIT", 1_300)):
        tally.written[Origin("S", licence, kind)] += count
    return tally


def test_parts_add_up(tally: Tally) -> None:
    both = Tally()
    both.merge(tally)
    both.merge(tally)
    assert both.report()["read"] == 30 and both.report()["dropped"] == {"repeated row": 4, "document too short": 2}
    assert both.report()["files"]["b"] == {
        "read": 10,
        "bad": 0,
        "dropped": {"document too short": 2, "repeated row": 2},
    }
    assert both.sources()["rows"] == 2 * 1_307


def test_the_licence_table_adds_up(tally: Tally, tmp_path: Path) -> None:
    tally.write(tmp_path)
    sources = json.loads((tmp_path / "sources.json").read_text())
    assert sources["rows"] == sum(row["rows"] for row in sources["sources"]) == 1_307
    assert all(row["rows"] == sum(row["kinds"].values()) for row in sources["sources"])
    assert json.loads((tmp_path / "report.json").read_text())["written"] == 1_307
    assert licence_table(tmp_path).splitlines()[2:] == ["| S | 7 | CC0 |", "| S | 1,300 | MIT |"]


def test_a_directory_without_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no sources.json"):
        licence_table(tmp_path)
