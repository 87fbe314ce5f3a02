"""Rows from JSON objects, by any of the names people give the fields; what is wrong is named."""

from typing import Any

import pytest

from qdts.models.training.data.rows import MAX_DOCUMENT_CHARS, MAX_QUERY_CHARS, row_from_fields

FIELDS: dict[str, Any] = {"query": "Who?", "doc": "A. B.", "summary": "A."}


@pytest.mark.parametrize("query", ["query", "question"])
@pytest.mark.parametrize("document", ["doc", "document", "text", "context"])
@pytest.mark.parametrize("reference", ["summary", "answer", "reference"])
def test_fields_by_any_name(query: str, document: str, reference: str) -> None:
    row = row_from_fields({query: "Who?", document: "A. B.", reference: "A."}, set_name="mine", licence="CC0", kind="k")
    assert (row.query, row.document, row.reference) == ("Who?", "A. B.", "A.")
    assert (row.source, row.licence, row.kind, row.title, row.answers) == ("mine", "CC0", "k", "", ())


def test_a_row_s_own_origin_comes_first() -> None:
    own = {"source": "S", "license": "CC BY 4.0", "kind": "extractive-qa", "answer": "x; y", "title": "T", "id": 7}
    row = row_from_fields(FIELDS | own, set_name="mine", licence="CC0", kind="k")
    assert (row.source, row.licence, row.kind, row.title) == ("S", "CC BY 4.0", "extractive-qa", "T")
    assert (row.answers, row.id, row.is_extractive, row.is_negative) == (("x", "y"), "7", True, False)
    assert row_from_fields(FIELDS | {"licence": "MIT"}, set_name="mine").licence == "MIT"
    assert row_from_fields(FIELDS, set_name="mine").licence == "not stated"


def test_a_verdict_is_no_answer_and_a_title_line_no_sentence() -> None:
    assert row_from_fields(FIELDS | {"answer": "yes"}, set_name="pubmedqa_pqal").answers == ()
    row = row_from_fields(FIELDS | {"title": "T", "doc": "T\n\nA. B."}, set_name="mine")
    assert row.document == "A. B."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": None}, r"field 'query' \(or 'question'\) is missing"),
        ({"doc": None}, r"field 'doc' \(or 'document', 'text', 'context'\) is missing"),
        ({"summary": None}, r"field 'summary' \(or 'answer', 'reference'\) is missing"),
        ({"query": 3}, "field 'query' must be a text that is not blank"),
        ({"doc": " \n"}, "field 'doc' must be a text that is not blank"),
        ({"query": "x" * (MAX_QUERY_CHARS + 1)}, "field 'query' must be at most 4000 code points, is 4001"),
        ({"doc": "x" * (MAX_DOCUMENT_CHARS + 1)}, "field 'doc' must be at most 2000000 code points, is 2000001"),
        ({"title": ["T"]}, "field 'title' must be a text"),
        ({"license": {}}, "field 'license' must be a text"),
    ],
)
def test_what_is_wrong_is_named_with_its_bound(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        row_from_fields(FIELDS | changes, set_name="mine")
