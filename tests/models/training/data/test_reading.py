"""JSONL files with bad lines: named, counted, and refused when there are too many."""

from pathlib import Path

import pytest
import zstandard

from qdts.errors import ConfigError
from qdts.models.training.data.reading import BadRows, Line, fields_of, read_lines


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    text = b'{"a": 1}\n\n  \n{"b": "\xff"}\n{"c": 3}'
    plain, packed = tmp_path / "x.jsonl", tmp_path / "x.jsonl.zst"
    plain.write_bytes(text)
    packed.write_bytes(zstandard.compress(text))
    lines = list(read_lines(plain))
    assert [line.number for line in lines] == [1, 4, 5]
    assert fields_of(lines[2]) == {"c": 3}
    assert list(read_lines(packed)) == lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "not JSON"),
        (b'"a"', "must be a JSON object"),
        (b"[1]", "must be a JSON object"),
        (b'"\xff"', "not UTF-8"),
    ],
)
def test_what_is_no_object_is_said(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fields_of(Line(1, text))


def test_up_to_the_bound_a_run_goes_on() -> None:
    bad = BadRows("mine", 0.01)
    bad.add(256, ["mine, line 3: a"])
    bad.add(144, ["mine, line 300: b", "mine, line 301: c", "mine, line 302: d"])
    bad.finish()


def test_one_more_and_the_file_is_refused() -> None:
    bad = BadRows("mine", 0.01)
    bad.add(300, [f"mine, line {i}: field 'doc' is missing" for i in range(4)])
    with pytest.raises(
        ConfigError, match=r"mine: 4 of 300 rows cannot be read, at most 1.0% may .* mine, line 0: field"
    ):
        bad.finish()


def test_a_hopeless_file_is_refused_early() -> None:
    bad = BadRows("mine", 0.01)
    bad.add(256, ["x"] * 10)
    with pytest.raises(ConfigError, match="11 of 512"):
        bad.add(256, ["x"])
