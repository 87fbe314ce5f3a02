"""JSONL files line by line: what cannot be read is counted and named, and too much of it ends the run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from qdts.errors import ConfigError
from qdts.models.evaluation.rows import Fields, open_bytes

# A file is not refused for its first line alone: its share of bad rows is taken of at least this many.
_FEW_ROWS = 1_000
_MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank, with its number from 1."""

    number: int
    text: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a JSONL file, plain or `.zst`, as they stand there."""
    with open_bytes(path) as file:
        for number, text in enumerate(file, start=1):
            if text.strip():
                yield Line(number, text)


def fields_of(line: Line) -> Fields:
    """The JSON object of a line; a ValueError says what it is instead."""
    try:
        fields = json.loads(line.text)
    except UnicodeDecodeError as fault:
        raise ValueError("not UTF-8") from fault
    except json.JSONDecodeError as fault:
        raise ValueError(f"not JSON ({fault.msg})") from fault
    if not isinstance(fields, dict):
        raise ValueError("a row must be a JSON object")
    return cast(Fields, fields)


@dataclass(slots=True)
class BadRows:
    """The rows of one file that could not be read, against a bound on their share."""

    name: str
    max_share: float
    num_read: int = 0
    num_bad: int = 0
    examples: list[str] = field(default_factory=list[str])

    def add(self, num_read: int, faults: list[str]) -> None:
        """Count `num_read` rows, `faults` of them bad; ConfigError once even a long file could not make up for them."""
        self.num_read += num_read
        self.num_bad += len(faults)
        self.examples += faults[: _MAX_EXAMPLES - len(self.examples)]
        self._check(max(self.num_read, _FEW_ROWS))

    def finish(self) -> None:
        """ConfigError if the file as a whole has too many."""
        self._check(self.num_read)

    def _check(self, num_rows: int) -> None:
        if self.num_bad > self.max_share * num_rows:
            raise ConfigError(
                f"{self.name}: {self.num_bad} of {self.num_read} rows cannot be read, at most {self.max_share:.1%} may "
                f"be (max_bad_share); such as {'; '.join(self.examples)}"
            )
