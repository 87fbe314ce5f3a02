"""Rows as they stand in files."""

import io
import json
from pathlib import Path

import pytest
import zstandard

from qdts.errors import ConfigError
from qdts.models.evaluation.rows import read_fields, row_from_fields, set_path, without_title_line

FIELDS: dict[str, object] = {"id": 7, "query": "q", "doc": "d", "summary": "s"}


def test_plain_and_compressed_files_hold_the_same_rows(tmp_path: Path) -> None:
    lines = (json.dumps(FIELDS) + "\n\n" + json.dumps(FIELDS | {"doc": "é\u2028x"}, ensure_ascii=False)).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(lines))
    plain = list(read_fields(set_path(tmp_path, "a")))
    assert plain == list(read_fields(set_path(tmp_path, "b")))
    assert [fields["doc"] for fields in plain] == ["d", "é\u2028x"]


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({"answer": "make a claim; automatically"}, ("make a claim", "automatically")),
        ({"answers": ["b", "a", "b", " "], "answer": "c"}, ("b", "a")),
        ({"answer": None}, ()),
        ({}, ()),
    ],
)
def test_answers(fields: dict[str, object], answers: tuple[str, ...]) -> None:
    assert row_from_fields(FIELDS | fields, "any").answers == answers


def test_a_verdict_is_no_answer() -> None:
    assert row_from_fields(FIELDS | {"answer": "yes"}, "pubmedqa_pqal").answers == ()


def test_a_title_line_is_no_sentence() -> None:
    assert without_title_line("Bohrium\nBohrium is an element.", "Bohrium") == "Bohrium is an element."
    assert without_title_line("Bohrium is\nan element.", "Bohrium") == "Bohrium is\nan element."
    assert without_title_line("Bohrium", "Bohrium") == "Bohrium"
    assert without_title_line("\nx", "") == "\nx"


@pytest.mark.parametrize("name", ["query", "doc", "summary"])
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        row_from_fields({key: value for key, value in FIELDS.items() if key != name}, "any")


@pytest.mark.parametrize(("line", "message"), [("{", "line 2: not JSON"), ("[]", "line 2: a row must be")])
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("{}\n" + line, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        list(read_fields(path))


def test_a_missing_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="squad_dev"):
        set_path(tmp_path, "squad_dev")


def test_the_data_files_own_window_is_accepted(tmp_path: Path) -> None:
    """The public files are written with a 128 MiB window, beyond a decompressor's default."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packed = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(packed, closefd=False) as writer:
        writer.write(json.dumps(FIELDS).encode())
    (tmp_path / "w.jsonl.zst").write_bytes(packed.getvalue())
    assert list(read_fields(tmp_path / "w.jsonl.zst")) == [FIELDS]
