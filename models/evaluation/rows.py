"""One evaluation row and how it is read from JSONL files, plain or zstd. Knows nothing of splits."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

from qdts.errors import ConfigError

Fields = dict[str, object]

# Sets whose `answer` is a verdict (yes, no, maybe), not words a summary should contain.
VERDICT_SETS = frozenset({"pubmedqa_pqal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRow:
    """A query, a document, what people wrote for them, and short answers where known."""

    id: str
    set: str
    query: str
    title: str
    document: str
    references: tuple[str, ...]
    answers: tuple[str, ...] = ()


def row_from_fields(fields: Mapping[str, object], set_name: str) -> EvalRow:
    """A row of JSONL (id, query, doc, summary; title, answer, answers where known) as an EvalRow."""
    for name in ("query", "doc", "summary"):
        if not isinstance(fields.get(name), str):
            raise ConfigError(f"evaluation row of {set_name}: field {name!r} must be a text")
    title = str(fields.get("title") or "")
    return EvalRow(
        id=str(fields.get("id", "")),
        set=str(fields.get("set", set_name)),
        query=str(fields["query"]),
        title=title,
        document=without_title_line(str(fields["doc"]), title),
        references=(str(fields["summary"]),),
        answers=() if set_name in VERDICT_SETS else short_answers(fields),
    )


def without_title_line(document: str, title: str) -> str:
    """The document without a first line that repeats its title: a title is no sentence to quote."""
    first, line_break, rest = document.partition("\n")
    return rest.lstrip() if line_break and title and first.strip() == title.strip() else document


def short_answers(fields: Mapping[str, object]) -> tuple[str, ...]:
    """What `answers` or `answer` hold, each once."""
    listed = fields.get("answers")
    if isinstance(listed, list | tuple):
        found = [str(answer) for answer in cast(list[object], listed)]
    else:
        # ConditionalQA joins the parts of a compound answer by "; ": any of them counts.
        found = str(fields.get("answer") or "").split("; ")
    return tuple(dict.fromkeys(answer.strip() for answer in found if answer.strip()))


def set_path(data_dir: Path, set_name: str) -> Path:
    """The file that holds a set: `SET.jsonl` or `SET.jsonl.zst`."""
    for suffix in (".jsonl", ".jsonl.zst"):
        path = data_dir / f"{set_name}{suffix}"
        if path.is_file():
            return path
    raise ConfigError(f"evaluation data: neither {set_name}.jsonl nor {set_name}.jsonl.zst in {data_dir}")


def read_fields(path: Path) -> Iterator[Fields]:
    """The rows of a JSONL file in file order; `.zst` needs the package `zstandard`."""
    with io.TextIOWrapper(open_bytes(path), encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _parse(line, path, number)


def _parse(line: str, path: Path, number: int) -> Fields:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path.name}, line {number}: not JSON ({error.msg})") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"{path.name}, line {number}: a row must be a JSON object")
    return cast(Fields, fields)


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of a file, unpacked if it is `.zst`."""
    if path.suffix != ".zst":
        return path.open("rb")
    try:
        zstandard = cast(Any, import_module("zstandard"))
    except ModuleNotFoundError as error:
        raise ConfigError(f"{path.name}: reading .zst needs the package 'zstandard'") from error
    # The files are written with a 128 MiB window, which a decompressor refuses by default.
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(path.open("rb"), closefd=True)
    return io.BufferedReader(reader, 1 << 20)
