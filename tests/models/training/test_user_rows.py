"""A user's file: what is wrong with a line is named, what cannot be learned from is counted, nothing leaks."""

import json
from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.models.evaluation.contamination import Contamination
from qdts.models.evaluation.samples import load_row_file
from qdts.models.evaluation.splits import normalise
from qdts.models.prompt import PromptBuilder
from qdts.models.training.user_rows import (
    IN_HELD_OUT,
    IN_SAMPLE,
    MIN_ROWS,
    NOT_QUOTED,
    REPEATED,
    part_rows,
    read_user_rows,
    write_rows,
)

Fields = dict[str, object]


def made(count: int) -> list[Fields]:
    """Rows on documents of their own."""
    return [
        {
            "query": f"When was mill {i} built?",
            "doc": f"Mill {i} stands by a river. It was built in {1800 + i}. Nobody has lived in house {i} since.",
            "summary": f"It was built in {1800 + i}.",
        }
        for i in range(count)
    ]


def write(tmp_path: Path, rows: list[Fields], *more: bytes) -> Path:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"\n".join([*(json.dumps(row).encode() for row in rows), *more]) + b"\n")
    return path


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"query": "q", "doc": "d"}', "line 31: field 'summary' is missing"),
        (b'{"query": " ", "doc": "d", "summary": "s"}', "line 31: field 'query' is blank"),
        (b'{"query": "q", "doc": 7, "summary": "s"}', "line 31: field 'doc' is no text"),
        (b'{"query": "caf\xe9", "doc": "d", "summary": "s"}', "line 31: not UTF-8 at byte 14"),
        (b"query,doc,summary", "line 31: not JSON"),
        (b"[1, 2]", "line 31: not a JSON object"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_user_rows(write(tmp_path, made(30), line))


def test_many_bad_lines_are_counted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line 31: .*line 32: .*line 33: .*; and 4 more"):
        read_user_rows(write(tmp_path, made(30), *[b"?"] * 7))


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_rows_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(ConfigError, match=f"holds {count} rows: fine-tuning needs at least {MIN_ROWS}"):
        read_user_rows(write(tmp_path, made(count)))


def test_a_mark_before_the_first_line_and_blank_lines_are_fine(tmp_path: Path) -> None:
    path = write(tmp_path, made(30), b"", b"  ")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    rows = read_user_rows(path)
    assert len(rows) == 30
    assert (rows[0].set, rows[0].id, rows[0].query) == ("mine", "1", "When was mill 0 built?")


def test_what_cannot_be_learned_from_is_counted(tmp_path: Path, builder: PromptBuilder) -> None:
    rows = made(40)
    rows[3]["summary"] = "Quantum chromodynamics describes gluons."
    rows.append(dict(rows[5]))
    sample = load_row_file()[0]
    rows.append({"query": "q", "doc": sample.document, "summary": sample.references[0]})
    parted = part_rows(read_user_rows(write(tmp_path, rows)), builder, held_out_percent=10)
    assert parted.left_out == {NOT_QUOTED: 1, REPEATED: 1, IN_SAMPLE: 1}
    assert len(parted.examples) + len(parted.held_out) == 39
    assert "left out: 1, the document does not say the summary" in parted.to_text()


def test_held_out_rows_share_no_text_with_the_others(tmp_path: Path, builder: PromptBuilder) -> None:
    rows = made(40)
    for row in rows[:20]:  # two rows to a document
        row["doc"] = rows[0]["doc"] if row is rows[1] else row["doc"]
        row["summary"] = rows[0]["summary"] if row is rows[1] else row["summary"]
    parted = part_rows(read_user_rows(write(tmp_path, rows)), builder, held_out_percent=20)
    assert 0.2 * 40 <= len(parted.held_out) <= 0.2 * 40 + 1
    near = Contamination(parted.held_out)
    held = {normalise(row.document) for row in parted.held_out}
    others = [str(row["doc"]) for row in rows if normalise(str(row["doc"])) not in held]
    kept = sum(not near.shares_ngram(document) for document in others)
    assert len(parted.examples) == kept


def test_rows_near_a_held_out_one_are_left_out(tmp_path: Path, builder: PromptBuilder) -> None:
    notice = " The words of this notice stand below each of these texts so that any two of them share it."
    rows = made(60)
    for row in rows[:30]:
        row["doc"] = str(row["doc"]) + notice
    parted = part_rows(read_user_rows(write(tmp_path, rows)), builder, held_out_percent=10)
    assert any(notice.strip() in row.document for row in parted.held_out)
    assert parted.left_out[IN_HELD_OUT] == 30 - sum(notice.strip() in row.document for row in parted.held_out)


def test_a_single_document_cannot_be_parted(tmp_path: Path, builder: PromptBuilder) -> None:
    rows = made(1) * 30
    rows = [{**row, "query": f"question {i}"} for i, row in enumerate(rows)]
    with pytest.raises(ConfigError, match="rows on at least two documents are needed"):
        part_rows(read_user_rows(write(tmp_path, rows)), builder, held_out_percent=10)


def test_a_file_that_grows_keeps_its_held_out_rows(tmp_path: Path, builder: PromptBuilder) -> None:
    parts = []
    for count in (40, 44):
        parts.append(part_rows(read_user_rows(write(tmp_path, made(count))), builder, held_out_percent=25).held_out)
    before, after = ({row.document for row in part} for part in parts)
    assert len(before & after) >= len(before) - 2


def test_written_rows_are_read_again(tmp_path: Path, builder: PromptBuilder) -> None:
    rows = read_user_rows(write(tmp_path, [{**row, "answers": ["1800"], "title": "Mills"} for row in made(25)]))
    write_rows(rows, tmp_path / "again.jsonl")
    assert load_row_file(tmp_path / "again.jsonl") == rows
