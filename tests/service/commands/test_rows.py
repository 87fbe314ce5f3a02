"""One line of a batch: what is readable is read, what is not is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.errors import InvalidRequest, Unavailable
from qdts.service.client.messages import from_proto
from qdts.service.commands.rows import BadRow, Row, answer_row, error_row, parse_row
from qdts.v1 import summarization_pb2 as pb


def test_reads_a_row() -> None:
    row = parse_row(b'{"id": 7, "query": "q", "doc": "d", "title": "t", "language": "de", "own": [1]}', 1)
    assert isinstance(row, Row)
    assert (row.id, row.query, row.document.text) == (7, "q", "d")
    assert (row.document.title, row.document.language) == ("t", "de")


def test_byte_order_mark_before_the_first_row() -> None:
    assert isinstance(parse_row(b'\xef\xbb\xbf{"id": 7, "query": "q", "doc": "d"}', 1), Row)


@pytest.mark.parametrize(
    ("data", "row_id", "field", "problem"),
    [
        (b"not json", None, "row", "is not JSON: Expecting value at character 0"),
        (b"[1]", None, "row", "is not an object"),
        (b'{"id": 1, "query": "\xff", "doc": "d"}', None, "row", "is not UTF-8 at byte 20"),
        (b"[" * 100_000, None, "row", "nested too deep"),
        (b'{"id": ' + b"9" * 5000 + b"}", None, "row", "number too long"),
        (b'{"query": "q", "doc": "d"}', None, "id", "is missing"),
        (b'{"id": true, "query": "q", "doc": "d"}', None, "id", "neither a string nor an integer"),
        (b'{"id": 1.5, "query": "q", "doc": "d"}', None, "id", "neither a string nor an integer"),
        (b'{"id": "\\ud800", "query": "q", "doc": "d"}', None, "id", "lone surrogate at character 0"),
        (b'{"id": 1, "doc": "d"}', 1, "query", "is missing"),
        (b'{"id": 1, "query": "a\\udc00", "doc": "d"}', 1, "query", "lone surrogate at character 1"),
        (b'{"id": "x", "query": "q"}', "x", "doc", "is missing"),
        (b'{"id": 1, "query": "q", "doc": ["d"]}', 1, "doc", "is not a string"),
        (b'{"id": 1, "query": "q", "doc": "d", "title": 5}', 1, "title", "is not a string"),
    ],
)
def test_names_what_is_wrong(data: bytes, row_id: object, field: str, problem: str) -> None:
    row = parse_row(data, 3)
    assert isinstance(row, BadRow)
    assert (row.id, row.line, row.fault.field) == (row_id, 3, field)
    assert problem in row.fault.problem


@given(st.binary(max_size=200))
def test_any_bytes_give_a_row_or_a_reason(data: bytes) -> None:
    row = parse_row(data, 1)
    if isinstance(row, BadRow):
        json.dumps(error_row(row.id, row.line, row.fault), ensure_ascii=False).encode()


@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_any_value_in_any_field_gives_a_row_or_a_reason(value: object) -> None:
    for field in ("id", "query", "doc", "title"):
        values = {"id": 1, "query": "q", "doc": "d", "title": "t", field: value}
        assert isinstance(parse_row(json.dumps(values).encode(), 1), Row | BadRow)


def test_an_answer_says_where_each_sentence_stands() -> None:
    row = parse_row(b'{"id": 7, "query": "q", "doc": "d"}', 1)
    assert isinstance(row, Row)
    sentences = [
        pb.SummarySentence(text="a", source_span=pb.TextSpan(start=2, end=3)),
        pb.SummarySentence(text="b"),
    ]
    reply = from_proto(pb.SummarizeResponse(summary="a b", sentences=sentences, rung=pb.RUNG_FULL, coverage=1))
    values = answer_row(row, reply)
    assert (values["id"], values["summary"], values["rung"]) == (7, "a b", "full")
    assert values["sources"] == [[2, 3], None]


def test_an_error_uses_the_names_of_the_row() -> None:
    values = error_row(7, 3, InvalidRequest("document.text", "is blank"))
    assert values == {"id": 7, "line": 3, "error": {"field": "doc", "problem": "is blank"}}


def test_an_error_of_the_service_is_told_apart() -> None:
    values = error_row(7, 3, Unavailable("gone"))
    assert values["error"] == {"field": "", "problem": "Unavailable: gone"}
