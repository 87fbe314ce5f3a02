"""The rows of JSONL a teacher is asked, and the rows that are written. Knows no teacher and no student.

Fields have the names that `prepare` reads (data/rows.py). Bad lines are counted and passed over. Rows of the
evaluation side are left out: their set can no longer be told from the name of the file that is written.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from qdts.errors import ConfigError
from qdts.models.evaluation.rows import VERDICT_SETS, Fields, open_bytes, row_from_fields
from qdts.models.evaluation.splits import OFFICIAL_TEST_SETS, is_held_out
from qdts.models.training.data.rows import DOCUMENT_FIELDS, QUERY_FIELDS
from qdts.models.training.teachers.base import TeacherOutput, TeacherRow

# Why a row is left out; keys of the stage's report
BAD, HELD_OUT, LATER_TURN = "bad", "held_out", "later_turn"
# What `prepare` takes such a summary for: made of the document, but not always of one run of it.
KIND = "taught"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which lines of which files to teach on: only numbers, so that no file is held in memory."""

    lines: tuple[tuple[Path, frozenset[int]], ...]
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return sum(len(numbers) for _, numbers in self.lines)

    def rows(self) -> Iterator[tuple[str, Fields]]:
        """Each row with the name of its set, in file order."""
        for path, wanted in self.lines:
            for number, line in _lines(path):
                if number in wanted:
                    fields = parse_row(line)
                    assert fields is not None, "it could be parsed before"
                    yield set_of(fields, path), fields


def choose_rows(paths: Sequence[Path], *, limit: int = 0, seed: int = 0, hold_out: bool = True) -> Chosen:
    """All rows that can be taught on; with a `limit` above 0 a seeded sample of so many.

    `hold_out` leaves out the documents that the evaluation's rule holds out; official test splits always are.
    """
    usable: list[tuple[int, int]] = []
    left_out: Counter[str] = Counter({BAD: 0, HELD_OUT: 0, LATER_TURN: 0})
    for which, path in enumerate(paths):
        for number, line in _lines(path):
            fault = _fault(parse_row(line), path, hold_out)
            if fault:
                left_out[fault] += 1
            else:
                usable.append((which, number))
    if 0 < limit < len(usable):
        usable = random.Random(seed).sample(usable, limit)
    by_file = [frozenset(number for which, number in usable if which == place) for place in range(len(paths))]
    return Chosen(lines=tuple(zip(paths, by_file, strict=True)), left_out=left_out)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers."""
    if not path.is_file():
        raise ConfigError(f"rows: no file {path}")
    with open_bytes(path) as lines:
        for number, line in enumerate(lines):
            if line.strip():
                yield number, line


def parse_row(line: bytes) -> Fields | None:
    """The fields of a row that can be taught on: a query and a document that are not blank; None for any other."""
    try:
        # Lone surrogates, which JSON can spell, cannot be written.
        fields = json.loads(line.decode("utf-8-sig"))
        json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    row = _renamed(cast(Fields, fields))
    texts = [row.get("query"), row.get("doc")]
    told = [row.get("title"), row.get("summary"), row.get("reference")]
    has_texts = all(isinstance(text, str) and text.strip() for text in texts)
    return row if has_texts and all(text is None or isinstance(text, str) for text in told) else None


def _renamed(fields: Fields) -> Fields:
    """Query, document and reference under the first of the names they may have.

    An `answer` beside a summary is a short one; alone it is the reference.
    """
    references = ("summary",) if fields.get("reference") is not None else ("summary", "answer")
    row = dict(fields)
    for names in (QUERY_FIELDS, DOCUMENT_FIELDS, references):
        found = next((name for name in names if row.get(name) is not None), names[0])
        if found != names[0]:
            row[names[0]] = row.pop(found)
    return row


def _fault(fields: Fields | None, path: Path, hold_out: bool) -> str:
    """Why a row is left out: BAD, HELD_OUT, LATER_TURN, "" for no reason."""
    if fields is None:
        return BAD
    is_test = set_of(fields, path) in OFFICIAL_TEST_SETS and fields.get("split") == "test"
    if is_test or (hold_out and is_held_out(str(fields["doc"]))):
        return HELD_OUT
    # Its first question is not what its reference answers.
    return LATER_TURN if fields.get("history") else ""


def set_of(fields: Mapping[str, object], path: Path) -> str:
    """The set a row belongs to: as it says itself, else the name of its file."""
    return str(fields.get("set") or path.name.split(".")[0])


def teacher_row(fields: Mapping[str, Any], set_name: str, *, sees_reference: bool) -> TeacherRow:
    """What a teacher is asked; what people wrote only if it `sees_reference`."""
    reference = _reference(fields)
    row = row_from_fields({**fields, "summary": reference}, set_name)
    return TeacherRow(
        query=row.query,
        title=row.title,
        document=row.document,
        reference=reference if sees_reference else "",
        answers=row.answers if sees_reference else (),
    )


def taught_row(fields: Fields, set_name: str, output: TeacherOutput, teacher: str) -> Fields:
    """The row with the teacher's summary. A verdict (yes, no) is no short answer, which only the set's name told."""
    kept = {("verdict" if name == "answer" and set_name in VERDICT_SETS else name): fields[name] for name in fields}
    return kept | {
        "set": set_name,
        "kind": KIND,
        "reference_kind": fields.get("reference_kind") or fields.get("kind") or "",
        "summary": output.text,
        "reference": _reference(fields),
        "teacher": teacher,
        "confidence": round(output.confidence, 4),
        "provenance": dict(output.provenance),
    }


def _reference(fields: Mapping[str, Any]) -> str:
    """What people wrote: a row that was taught before has it there."""
    return str(fields.get("reference") or fields.get("summary") or "")
