"""What the load measurement counts."""

from qdts.loadtest.bench_load import _describe, _items


def test_ends_are_counted_and_times_ranked() -> None:
    figures = _describe([("full", 10.0)] * 98 + [("lead", 500.0), ("Overloaded", 900.0)])
    assert figures["ends"] == {"full": 98, "lead": 1, "Overloaded": 1}
    assert (figures["call_ms_p50"], figures["call_ms_p99"]) == (10.0, 900.0)


def test_documents_repeat_when_there_are_too_few() -> None:
    items = _items(1000)
    assert len(items) == 1000 and all(query and document for query, document in items)
