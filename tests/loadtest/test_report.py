"""The conventions of the measurements: one JSON object last, a file after a full run only."""

import json
from pathlib import Path

import pytest

from qdts.loadtest.report import finish, make_parser, record

ALWAYS = {"benchmark", "quick", "at", "machine", "versions", "commit", "figures"}


def test_a_quick_run_prints_one_object_as_its_last_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = make_parser("").parse_args(["--quick", "--json"])
    finish("demo", args, {"speed": 3}, tmp_path)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result) == ALWAYS
    assert (result["benchmark"], result["quick"], result["figures"]) == ("demo", True, {"speed": 3})
    assert list(tmp_path.iterdir()) == []


def test_a_full_run_leaves_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = finish("demo", make_parser("").parse_args([]), {"speed": 3}, tmp_path / "results")
    assert json.loads((tmp_path / "results" / "demo.json").read_text()) == result
    assert "speed" in capsys.readouterr().out


def test_a_long_run_is_recorded_as_it_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = make_parser("").parse_args([])
    for speed in (3, 4):
        result = record("demo", args, {"speed": speed}, tmp_path)
        assert json.loads((tmp_path / "demo.json").read_text()) == result
    assert set(result) == ALWAYS and result["figures"] == {"speed": 4}
    assert capsys.readouterr().out == ""
