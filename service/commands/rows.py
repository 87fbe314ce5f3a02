"""One line of `qdts batch`: what is asked, answered, or wrong. Pure; knows no file and no server."""

import json
from dataclasses import dataclass
from typing import Any, cast

from qdts.errors import InvalidRequest, QdtsError
from qdts.models.document import Document
from qdts.service.client.messages import Reply

RowId = str | int

# Fields of the request under the names they have in a row.
_ROW_FIELDS = {
    "document.text": "doc",
    "document.title": "title",
    "document.language_code": "language",
    "options.max_words": "max_words",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One document to summarise."""

    id: RowId
    query: str
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A line that asks nothing answerable; `id` is None where not even that could be read."""

    id: RowId | None
    line: int
    fault: InvalidRequest


def parse_row(data: bytes, line: int) -> Row | BadRow:
    """The row in one line of JSONL; unknown keys are the caller's own and ignored."""
    row_id: RowId | None = None
    try:
        values = _parse_object(data)
        row_id = _read_id(values)
        document = Document(
            text=_read_text(values, "doc"),
            title=_read_text(values, "title", default=""),
            language=_read_text(values, "language", default=""),
        )
        return Row(id=row_id, query=_read_text(values, "query"), document=document)
    except InvalidRequest as fault:
        return BadRow(id=row_id, line=line, fault=fault)


def answer_row(row: Row, reply: Reply) -> dict[str, object]:
    """What is written for an answered row. `sources` are [start, end) in code points of "doc"."""
    spans = [sentence.source_span for sentence in reply.sentences]
    return {
        "id": row.id,
        "summary": reply.summary,
        "rung": reply.rung,
        "degrade_reasons": list(reply.degrade_reasons),
        "coverage": round(reply.coverage, 4),
        "sources": [None if span is None else [span.start, span.end] for span in spans],
        "model_version": reply.model_version,
    }


def error_row(row_id: RowId | None, line: int, fault: QdtsError) -> dict[str, object]:
    """What is written for a row without an answer."""
    if isinstance(fault, InvalidRequest):
        error = {"field": _ROW_FIELDS.get(fault.field, fault.field), "problem": fault.problem}
    else:
        error = {"field": "", "problem": f"{type(fault).__name__}: {fault}"}
    return {"id": row_id, "line": line, "error": error}


def _parse_object(data: bytes) -> dict[str, Any]:
    try:
        values: object = json.loads(data.decode("utf-8-sig"))  # some editors put a mark before the first line
    except UnicodeDecodeError as fault:
        raise InvalidRequest("row", f"is not UTF-8 at byte {fault.start}") from None
    except json.JSONDecodeError as fault:
        raise InvalidRequest("row", f"is not JSON: {fault.msg} at character {fault.pos}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets nested without end
        raise InvalidRequest("row", "is not JSON that can be read: a number too long, or nested too deep") from None
    if not isinstance(values, dict):
        raise InvalidRequest("row", 'is not an object such as {"id": 1, "query": "...", "doc": "..."}')
    return cast("dict[str, Any]", values)


def _read_id(values: dict[str, Any]) -> RowId:
    value = values.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidRequest("id", "is missing" if value is None else "is neither a string nor an integer")
    return check_text("id", value) if isinstance(value, str) else value


def _read_text(values: dict[str, Any], field: str, default: str | None = None) -> str:
    value = values.get(field, default)
    if not isinstance(value, str):
        raise InvalidRequest(field, "is missing" if value is None else "is not a string")
    return check_text(field, value)


def check_text(field: str, value: str) -> str:
    """`value` itself unless it holds a lone surrogate, which no UTF-8 can carry."""
    try:
        value.encode()
    except UnicodeEncodeError as fault:
        raise InvalidRequest(field, f"holds a lone surrogate at character {fault.start}") from None
    return value
