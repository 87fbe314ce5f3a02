"""Proto -> request. Every bound is checked here, before any text is split; errors name field and bound only.

What is merely odd is read rather than refused: control characters become spaces, one for one, so that the
caller's offsets stay true; the query is put into Unicode normal form C with single spaces, so that equal
questions share a cache entry and an answer.
"""

import hashlib
import re
import unicodedata
from enum import IntEnum
from typing import TypeVar

from qdts.errors import InvalidRequest
from qdts.models.document import Document
from qdts.service.limits import Limits
from qdts.service.request import CachePolicy, Priority, Request, Tier, View
from qdts.v1 import summarization_pb2 as pb

MAX_REQUEST_ID_CHARS = 128
MAX_LANGUAGE_CHARS = 35

# Control characters that mean nothing in a text; tab, line feed and carriage return do.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Anything a reader could see: neither white space, nor control, nor default-ignorable (Unicode
# DerivedCoreProperties).
_VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]+")
# RFC 5646 section 2.1, "langtag" and "privateuse"; the grandfathered tags of 1995 are not accepted.
_LANGUAGE_TAG = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|\d[a-z0-9]{3}))*(?:-[a-wy-z0-9](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?"
    r"|x(?:-[a-z0-9]{1,8})+",
    re.IGNORECASE | re.ASCII,
)

_Enum = TypeVar("_Enum", bound=IntEnum)


def read_request(message: pb.SummarizeRequest, limits: Limits, *, path: str = "", tenant: str = "") -> Request:
    """The request a message asks for, or InvalidRequest. `path` goes before the names of its fields.

    `tenant` is whose it is: the message does not say.
    """
    options = message.options
    return Request(
        query=_query(message.query, limits, f"{path}query"),
        document=_document(message, limits, path),
        document_sha256=hashlib.sha256(message.document.text.encode()).hexdigest(),
        max_words=_max_words(options.max_words, limits, f"{path}options.max_words"),
        view=_enum(options.view, View, View.FULL, f"{path}options.view"),
        priority=_enum(options.priority, Priority, Priority.INTERACTIVE, f"{path}options.priority"),
        tier=_enum(options.tier, Tier, Tier.AUTO, f"{path}options.tier"),
        cache_policy=_enum(options.cache_policy, CachePolicy, CachePolicy.DEFAULT, f"{path}options.cache_policy"),
        request_id=_request_id(message.request_id, f"{path}request_id"),
        document_id=_at_most(message.document.document_id, limits.max_id_chars, f"{path}document.document_id"),
        tenant=tenant,
    )


def check_batch(message: pb.BatchSummarizeRequest, limits: Limits) -> None:
    """InvalidRequest unless the number of items and the id are within bounds; items are read singly."""
    _request_id(message.request_id, "request_id")
    if not 1 <= len(message.requests) <= limits.max_batch_items:
        problem = f"has {len(message.requests)} items; must be between 1 and {limits.max_batch_items}"
        raise InvalidRequest("requests", problem)


def is_request_id(value: str) -> bool:
    """Whether `value` may serve as a request id."""
    return len(value) <= MAX_REQUEST_ID_CHARS and _PRINTABLE_ASCII.fullmatch(value) is not None


def _query(query: str, limits: Limits, field: str) -> str:
    query = _visible(_at_most(query, limits.max_query_chars, field), field)
    return " ".join(unicodedata.normalize("NFC", _CONTROL.sub(" ", query)).split())


def _document(message: pb.SummarizeRequest, limits: Limits, path: str) -> Document:
    document = message.document
    text = _at_most(document.text, limits.max_document_chars, f"{path}document.text")
    return Document(
        text=_CONTROL.sub(" ", _visible(text, f"{path}document.text")),
        title=_CONTROL.sub(" ", _at_most(document.title, limits.max_title_chars, f"{path}document.title")),
        language=_language(document.language_code, f"{path}document.language_code"),
    )


def _at_most(value: str, bound: int, field: str) -> str:
    if len(value) > bound:
        raise InvalidRequest(field, f"has {len(value):,} characters; must have at most {bound:,}")
    return value


def _visible(value: str, field: str) -> str:
    if _VISIBLE.search(value) is None:
        raise InvalidRequest(field, "is blank; must have at least 1 visible character")
    return value


def _language(tag: str, field: str) -> str:
    if tag and (len(tag) > MAX_LANGUAGE_CHARS or _LANGUAGE_TAG.fullmatch(tag) is None):
        raise InvalidRequest(
            field, f'must be a BCP-47 tag of at most {MAX_LANGUAGE_CHARS} characters, such as "en" or "de-AT"'
        )
    return tag


def _max_words(value: int, limits: Limits, field: str) -> int:
    if value == 0:
        return limits.default_words
    if not limits.min_words <= value <= limits.max_words:
        bounds = f"between {limits.min_words} and {limits.max_words}"
        problem = f"is {value}; must be {bounds}, or 0 for {limits.default_words}"
        raise InvalidRequest(field, problem)
    return value


def _enum(value: int, kind: type[_Enum], default: _Enum, field: str) -> _Enum:
    if value == 0:
        return default
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(f"{member.value} ({member.name})" for member in kind)
        raise InvalidRequest(field, f"is {value}, which is unknown; must be 0 or one of {known}") from None


def _request_id(value: str, field: str) -> str:
    if value and not is_request_id(value):
        raise InvalidRequest(field, f"must be at most {MAX_REQUEST_ID_CHARS} printable ASCII characters")
    return value
