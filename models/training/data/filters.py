"""Which rows are not worth training on, each with the reason under which it is counted. Knows no other rows."""

import re
from dataclasses import replace

from qdts.models.training.data.cleaning import broken_share, clean_text, repeated_share
from qdts.models.training.data.config import CleanConfig
from qdts.models.training.data.rows import TrainRow
from qdts.models.training.examples import find_span

# More than this and a text was broken before it came here.
_MAX_BROKEN_SHARE = 0.002
# Fewer lines than this may well repeat: a list of "Yes" and "No".
_MIN_LINES = 6
# A reference this long does not stand in the document by chance.
_SURE_WORDS = 8

_BOILERPLATE = re.compile(
    r"(?:click|tap) here|(?:see|view|read|learn) (?:also|more)\b|for (?:more|additional) (?:information|details)\b|"
    r"(?:this|the) (?:page|content|document|article|topic|section) (?:has been|have been|is|was) (?:archived|moved|"
    r"removed|deprecated|intentionally left|under construction|no longer)|(?:page|file) not found|404\b|"
    r"all rights reserved|copyright (?:©|\(c\)|\d{4})|table of contents|in this (?:article|section|topic)\b|"
    r"(?:skip|back) to |javascript (?:is|must)|(?:we|this (?:web)?site) uses? cookies|sign in to |log in to |"
    r"share this |print this |related (?:links|topics|articles)|(?:n/?a|none|todo|tbd|test|untitled)\.?$",
    re.IGNORECASE,
)


def cleaned(row: TrainRow) -> TrainRow:
    """The row with its texts clean."""
    return replace(
        row,
        query=" ".join(clean_text(row.query).split()),
        title=" ".join(clean_text(row.title).split()),
        document=clean_text(row.document),
        reference=clean_text(row.reference),
        answers=tuple(answer for answer in map(clean_text, row.answers) if answer),
    )


def unfit_reason(row: TrainRow, config: CleanConfig) -> str:
    """Why a clean row is dropped, "" if it is kept."""
    return _length_reason(row, config) or _text_reason(row, config) or _reference_reason(row)


def _length_reason(row: TrainRow, config: CleanConfig) -> str:
    bounds = (
        ("query", row.query, 1, config.max_query_words),
        ("document", row.document, config.min_document_words, config.max_document_words),
        ("reference", row.reference, config.min_reference_words, config.max_reference_words),
    )
    for name, text, least, most in bounds:
        words = len(text.split())
        if words < least:
            return f"{name} too short"
        if words > most:
            return f"{name} too long"
    return ""


def _text_reason(row: TrainRow, config: CleanConfig) -> str:
    if not any(char.isalnum() for char in row.query):
        return "query without a word"
    if max(broken_share(row.document), broken_share(row.query), broken_share(row.reference)) > _MAX_BROKEN_SHARE:
        return "broken encoding"
    many_lines = row.document.count("\n") >= _MIN_LINES
    return "repeated lines" if many_lines and repeated_share(row.document) > config.max_repeated_share else ""


def _reference_reason(row: TrainRow) -> str:
    if _BOILERPLATE.match(row.reference):
        return "boilerplate reference"
    if row.reference.casefold().rstrip(" .?!") == row.query.casefold().rstrip(" .?!"):
        return "reference repeats the query"
    if row.is_extractive and find_span(row.document, row.reference) is None:
        return "reference not in the document"
    is_short = len(row.reference.split()) < _SURE_WORDS
    return "short reference in several places" if is_short and row.document.count(row.reference) > 1 else ""
