"""One training row, and how it is read from a JSON object of the public sets or of a user's own file.

Knows no files: a row that cannot be used is a ValueError that names the field and its bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from qdts.models.evaluation.rows import VERDICT_SETS, short_answers, without_title_line

QUERY_FIELDS = ("query", "question")
DOCUMENT_FIELDS = ("doc", "document", "text", "context")
REFERENCE_FIELDS = ("summary", "answer", "reference")

# Bounds in code points: far above what is useful, and below what could fill the memory.
MAX_QUERY_CHARS = 4_000
MAX_DOCUMENT_CHARS = 2_000_000
MAX_REFERENCE_CHARS = 20_000

# Kinds whose reference is a piece of the document, by the way the row was made.
_EXTRACTIVE_KINDS = frozenset(
    "nq-evidence-sentence answer-sentence-selection faq-heading-extractive gov-dialogue-grounding-span "
    "weak-lead".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRow:
    """A query, the document it is about, and the part of it that answers: "" where no part does.

    `source` and `licence` go with the row to the prepared data set; `answers` are short answers where known.
    """

    query: str
    title: str
    document: str
    reference: str
    source: str = ""
    licence: str = ""
    kind: str = ""
    answers: tuple[str, ...] = ()
    id: str = ""

    @property
    def is_negative(self) -> bool:
        """Does the document not answer the query?"""
        return not self.reference

    @property
    def is_extractive(self) -> bool:
        """Must the reference stand in the document word for word?"""
        return self.kind.startswith(("extractive", "prose-")) or self.kind in _EXTRACTIVE_KINDS


def row_from_fields(fields: Mapping[str, object], *, set_name: str, licence: str = "", kind: str = "") -> TrainRow:
    """A row from query|question, doc|document|text|context, summary|answer|reference; title and others optional.

    `licence` and `kind` stand in where the row has none of its own.
    """
    title = _optional(fields, "title")
    reference_name, reference = _required(fields, REFERENCE_FIELDS, MAX_REFERENCE_CHARS)
    is_answer_short = reference_name != "answer" and set_name not in VERDICT_SETS
    return TrainRow(
        query=_required(fields, QUERY_FIELDS, MAX_QUERY_CHARS)[1],
        title=title,
        document=without_title_line(_required(fields, DOCUMENT_FIELDS, MAX_DOCUMENT_CHARS)[1], title),
        reference=reference,
        source=_optional(fields, "source") or set_name,
        licence=_optional(fields, "license") or _optional(fields, "licence") or licence or "not stated",
        kind=_optional(fields, "kind") or kind,
        answers=short_answers(fields) if is_answer_short else (),
        id=_optional(fields, "id"),
    )


def _required(fields: Mapping[str, object], names: tuple[str, ...], max_chars: int) -> tuple[str, str]:
    """Name and value of the first of `names` that is there."""
    name = next((name for name in names if fields.get(name) is not None), None)
    if name is None:
        raise ValueError(f"field {names[0]!r} (or {', '.join(map(repr, names[1:]))}) is missing")
    value = fields[name]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"field {name!r} must be a text that is not blank")
    if len(value) > max_chars:
        raise ValueError(f"field {name!r} must be at most {max_chars} code points, is {len(value)}")
    return name, value


def _optional(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str | int):
        raise ValueError(f"field {name!r} must be a text")
    return str(value)
