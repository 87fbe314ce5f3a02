"""What arrives: popularity by Zipf's law, classes by their shares."""

from collections import Counter
from random import Random

import pytest

from qdts.errors import ConfigError
from qdts.models.document import Document
from qdts.models.evaluation.rows import EvalRow
from qdts.service.bench.workload import Arrival, PopularityConfig, RequestClass, Workload, Zipf

ROWS = [
    EvalRow(id=str(n), set="made_up", query=f"query {n}?", title="", document=f"Document {n}.", references=("",))
    for n in range(5)
]
ONE_EACH = PopularityConfig(num_documents=1, num_queries=1)


def text_of(arrival: Arrival) -> str:
    assert isinstance(arrival.request.document, Document)
    return arrival.request.document.text


def test_ranks_are_drawn_as_zipfs_law_has_it() -> None:
    random, zipf = Random(1), Zipf(4, 1.0)
    counts = Counter(zipf.draw(random) for _ in range(25_000))
    assert [counts[rank] / 25_000 for rank in range(4)] == pytest.approx([0.48, 0.24, 0.16, 0.12], abs=0.01)


def test_without_exponent_all_are_alike() -> None:
    random, zipf = Random(1), Zipf(4, 0.0)
    counts = Counter(zipf.draw(random) for _ in range(10_000))
    assert sorted(counts) == [0, 1, 2, 3] and min(counts.values()) > 2300


def test_beyond_the_rows_documents_are_copies_that_differ() -> None:
    workload = Workload(ROWS, [RequestClass()], PopularityConfig(num_documents=12, document_exponent=0, num_queries=1))
    texts = {text_of(arrival) for arrival in workload.arrivals([0.0] * 500, seed=1)}
    assert len(texts) == 12 and {"Document 1.", "Document 1.\n\n(1)", "Document 1.\n\n(2)"} <= texts


def test_a_documents_first_query_is_its_own() -> None:
    [arrival] = Workload(ROWS, [RequestClass()], ONE_EACH).arrivals([0.5], seed=1)
    assert (arrival.request.query, text_of(arrival), arrival.at_s) == ("query 0?", "Document 0.", 0.5)


def test_many_queries_of_one_document_all_differ() -> None:
    popularity = PopularityConfig(num_documents=1, num_queries=12, query_exponent=0)
    arrivals = Workload(ROWS, [RequestClass()], popularity).arrivals([0.0] * 500, seed=1)
    assert len({arrival.request.query for arrival in arrivals}) == 12


def test_classes_come_by_their_shares_and_bring_what_they_say() -> None:
    classes = [RequestClass(name="a", share=3), RequestClass(name="b", share=1, priority="bulk", tier="fast")]
    arrivals = Workload(ROWS, classes).arrivals([0.0] * 4000, seed=1)
    of_b = [arrival for arrival in arrivals if arrival.kind.name == "b"]
    assert len(of_b) == pytest.approx(1000, rel=0.1)
    assert {(arrival.request.priority, arrival.request.tier) for arrival in of_b} == {("bulk", "fast")}


def test_those_that_leave_do_so_before_their_deadline() -> None:
    arrivals = Workload(ROWS, [RequestClass(deadline_ms=200, cancelled_share=0.5)]).arrivals([0.0] * 1000, seed=1)
    leaving = [arrival.cancel_after_s for arrival in arrivals if arrival.cancel_after_s is not None]
    assert len(leaving) == pytest.approx(500, rel=0.15)
    assert 0 <= min(leaving) < 0.01 and 0.19 < max(leaving) <= 0.2


def test_those_in_a_hurry_leave_sooner() -> None:
    kind = RequestClass(deadline_ms=200, cancelled_share=1, cancelled_within_ms=50)
    leaving = [arrival.cancel_after_s or 0.0 for arrival in Workload(ROWS, [kind]).arrivals([0.0] * 500, seed=1)]
    assert 0.045 < max(leaving) <= 0.05


def test_numbers_make_each_query_its_own() -> None:
    workload = Workload(ROWS, [RequestClass()], ONE_EACH, is_numbered=True)
    assert [arrival.request.query for arrival in workload.arrivals([0.0, 0.1], seed=1)] == [
        "query 0? #0",
        "query 0? #1",
    ]


def test_the_same_seed_draws_the_same() -> None:
    workload = Workload(ROWS, [RequestClass()])
    assert workload.arrivals([0.0] * 50, seed=1) == workload.arrivals([0.0] * 50, seed=1)
    assert workload.arrivals([0.0] * 50, seed=1) != workload.arrivals([0.0] * 50, seed=2)


def test_nothing_to_draw_from_is_refused() -> None:
    for rows, classes in (([], [RequestClass()]), (ROWS, []), (ROWS, [RequestClass(share=0)])):
        with pytest.raises(ConfigError, match="workload"):
            Workload(rows, classes)
