"""A user's own rows for fine-tuning: read and checked line by line, then parted into training and held-out rows.

A line that is no row is the user's to repair: the first few are named, nothing is guessed. A row that is one and yet
cannot be learned from is left out and counted. Knows nothing of nets.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from qdts.errors import ConfigError
from qdts.models.document import Document
from qdts.models.evaluation.contamination import Contamination
from qdts.models.evaluation.rows import EvalRow, row_from_fields
from qdts.models.evaluation.samples import load_row_file
from qdts.models.evaluation.splits import normalise
from qdts.models.prompt import PromptBuilder
from qdts.models.training.examples import Example, make_example

# Fewer say more of chance than of a user's documents.
MIN_ROWS = 20
_REQUIRED = ("query", "doc", "summary")
_MAX_NAMED = 3

# Why a row is left out.
REPEATED = "the same query and document again"
NOT_QUOTED = "the document does not say the summary"
IN_SAMPLE = "shares text with the evaluation sample that ships"
IN_HELD_OUT = "shares text with a held-out row"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRows:
    """What is trained on, what is held out, and how many rows were left out for which reason."""

    examples: tuple[Example, ...]
    held_out: tuple[EvalRow, ...]
    left_out: Counter[str]

    def to_text(self) -> str:
        """The counts, for a person."""
        lines = [f"{len(self.examples)} rows to train on, {len(self.held_out)} held out"]
        return "\n".join(lines + [f"  left out: {count}, {reason}" for reason, count in self.left_out.items()])


def read_user_rows(path: Path) -> list[EvalRow]:
    """Every row of a JSONL file (query, doc, summary; id, title, answers where known); ConfigError names bad lines."""
    rows: list[EvalRow] = []
    faults: list[str] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                rows.append(_parse(line, path.stem, number))
            except ConfigError as fault:
                faults.append(f"line {number}: {fault}")
    if faults:
        more = f"; and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
        raise ConfigError(f"{path}: {'; '.join(faults[:_MAX_NAMED])}{more}")
    if len(rows) < MIN_ROWS:
        raise ConfigError(f"{path} holds {len(rows)} rows: fine-tuning needs at least {MIN_ROWS}")
    return rows


def part_rows(rows: Sequence[EvalRow], builder: PromptBuilder, *, held_out_percent: int) -> UserRows:
    """Examples and held-out rows that share no document, and no thirteen words in a row.

    Documents are held out in the order of their hash until they have `held_out_percent` of the rows, so a file that
    grows keeps most of its held-out rows.
    """
    left_out: Counter[str] = Counter()
    usable = [*_usable(rows, builder, left_out)]
    held = _held_out_documents([row for row, _ in usable], held_out_percent)
    held_rows = tuple(row for row, _ in usable if normalise(row.document) in held)
    near = Contamination(held_rows)
    examples: list[Example] = []
    for row, example in usable:
        if normalise(row.document) in held:
            continue
        if near.shares_ngram(row.document):
            left_out[IN_HELD_OUT] += 1
        else:
            examples.append(example)
    parted = UserRows(examples=tuple(examples), held_out=held_rows, left_out=left_out)
    if len(examples) + len(held_rows) < MIN_ROWS or not examples or not held_rows:
        raise ConfigError(
            f"too little to learn from and to judge by: {' '.join(parted.to_text().split())};"
            f" {MIN_ROWS} rows on at least two documents are needed"
        )
    return parted


def write_rows(rows: Iterable[EvalRow], path: Path) -> None:
    """As JSONL that `qdts eval --data` and `qdts model verify --data` read."""
    lines = [
        json.dumps(
            {
                "id": row.id,
                "set": row.set,
                "query": row.query,
                "title": row.title,
                "doc": row.document,
                "summary": row.references[0],
                "answers": list(row.answers),
            },
            ensure_ascii=False,
        )
        for row in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _parse(line: bytes, set_name: str, number: int) -> EvalRow:
    try:
        fields: Any = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as fault:
        raise ConfigError(f"not UTF-8 at byte {fault.start}") from None
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"not JSON ({fault})") from None
    if not isinstance(fields, dict):
        raise ConfigError("not a JSON object")
    values = cast(dict[str, object], fields)
    for name in _REQUIRED:
        value = values.get(name)
        if not isinstance(value, str) or not value.strip():
            problem = "is missing" if name not in values else "is blank" if isinstance(value, str) else "is no text"
            raise ConfigError(f"field {name!r} {problem}")
    return row_from_fields({"id": str(number), **values, "set": set_name}, set_name)


def _usable(
    rows: Iterable[EvalRow], builder: PromptBuilder, left_out: Counter[str]
) -> Iterator[tuple[EvalRow, Example]]:
    """Rows with their examples; the rest is counted."""
    sample = Contamination(load_row_file())
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = (normalise(row.query), normalise(row.document))
        if key in seen:
            left_out[REPEATED] += 1
            continue
        seen.add(key)
        if sample.shares_ngram(row.document):
            left_out[IN_SAMPLE] += 1
            continue
        document = Document(text=row.document, title=row.title)
        example = make_example(builder, row.query, document, row.references[0])
        if example is None:
            left_out[NOT_QUOTED] += 1
        else:
            yield row, example


def _held_out_documents(rows: Sequence[EvalRow], percent: int) -> frozenset[str]:
    """The first documents by hash that together have `percent` of the rows."""
    counts = Counter(normalise(row.document) for row in rows)
    held: set[str] = set()
    for document in sorted(counts, key=lambda text: hashlib.sha256(f"held out\n{text}".encode()).digest()):
        if 100 * sum(counts[chosen] for chosen in held) >= percent * len(rows):
            break
        held.add(document)
    return frozenset(held)
