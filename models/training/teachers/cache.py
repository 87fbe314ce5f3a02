"""What a teacher answered before is not asked again: JSONL on disk, appended to and never rewritten.

The key of an answer is the SHA-256 of the teacher's name, its settings and the row. A line that a killed run left
half written is cut off when the file is next opened; a line that is no answer is passed over. One process at a time.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, cast

from qdts.models.training.teachers.base import Teacher, TeacherOutput, TeacherRow


def row_key(teacher: Teacher, row: TeacherRow) -> str:
    """The SHA-256, in hex, of all that determines the teacher's answer."""
    asked = {"teacher": teacher.name, "settings": dict(teacher.settings), "row": asdict(row)}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class AnswerCache:
    """One file. Only keys and places are in memory; answers are read when asked for."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self._places: dict[str, int] = {}
        self.num_spoilt = 0
        self._index()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._places)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _index(self) -> None:
        self._file.seek(0)
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                self._file.truncate(end)
                self.num_spoilt += 1
                break
            answer = _parse(line)
            if answer is None:
                self.num_spoilt += 1
            else:
                self._places[answer[0]] = end
            end += len(line)

    def get(self, key: str) -> TeacherOutput | None:
        """The answer under `key`; None where there is none."""
        place = self._places.get(key)
        if place is None:
            return None
        self._file.seek(place)
        answer = _parse(self._file.readline())
        assert answer is not None and answer[0] == key, "the file changed under us"
        return answer[1]

    def add(self, answers: Sequence[tuple[str, TeacherOutput]]) -> None:
        """Append answers and wait until they are on disk."""
        place = self._file.seek(0, os.SEEK_END)
        for key, output in answers:
            line = json.dumps({"key": key, **asdict(output)}).encode() + b"\n"
            self._file.write(line)
            self._places[key] = place
            place += len(line)
        self._file.flush()
        os.fsync(self._file.fileno())


def _parse(line: bytes) -> tuple[str, TeacherOutput] | None:
    """The key and the answer of one line; None where it is neither."""
    try:
        fields = json.loads(line)
        output = TeacherOutput(
            sentences=tuple(map(str, fields["sentences"])),
            confidence=float(fields["confidence"]),
            provenance={str(name): str(value) for name, value in cast("dict[Any, Any]", fields["provenance"]).items()},
        )
        return str(fields["key"]), output
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


class CachedTeacher:
    """A teacher that remembers. What it could not answer is not kept, so a later run asks again."""

    def __init__(self, teacher: Teacher, cache: AnswerCache) -> None:
        self._teacher = teacher
        self._cache = cache
        self.num_asked = 0

    @property
    def name(self) -> str:
        """The name of whom is asked."""
        return self._teacher.name

    @property
    def settings(self) -> Any:
        """The settings of whom is asked."""
        return self._teacher.settings

    @property
    def batch_size(self) -> int:
        """The batch size of whom is asked."""
        return self._teacher.batch_size

    def summarise(self, rows: Sequence[TeacherRow]) -> list[TeacherOutput]:
        """From the cache where it is there; a row that comes twice is asked once."""
        keys = [row_key(self._teacher, row) for row in rows]
        known = {key: output for key in keys if (output := self._cache.get(key)) is not None}
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in known}
        if new:
            outputs = self._teacher.summarise(list(new.values()))
            self.num_asked += len(new)
            answers = list(zip(new, outputs, strict=True))
            self._cache.add([(key, output) for key, output in answers if not output.fault])
            known |= answers
        return [known[key] for key in keys]
