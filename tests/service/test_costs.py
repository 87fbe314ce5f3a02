"""Predictions follow what was observed."""

from typing import Any

from qdts.service.costs import CAUTION, FEW, NUM_KEPT, CostTable


def test_nothing_known() -> None:
    assert CostTable().predict_ms("full", 1000) is None


def test_prediction_is_what_few_times_exceed() -> None:
    table = CostTable(quantile=0.9)
    for time in range(1, 51):
        table.observe("full", 1000, float(time))
    assert table.predict_ms("full", 1000) == 46.0
    assert table.predict_ms("other", 1000) is None


def test_few_times_are_taken_with_caution() -> None:
    table = CostTable()
    table.observe("full", 1000, 100.0)
    assert table.predict_ms("full", 1000) == 100.0 * (1 + CAUTION)
    for _ in range(FEW):
        table.observe("full", 1000, 100.0)
    assert table.predict_ms("full", 1000) == 100.0


def test_predictions_follow_a_change() -> None:
    table = CostTable()
    for took_ms in (100.0, 10.0, 200.0):
        for _ in range(NUM_KEPT):
            table.observe("full", 1000, took_ms)
        assert table.predict_ms("full", 1000) == took_ms


def test_one_slow_time_is_no_reason() -> None:
    table = CostTable()
    for _ in range(30):
        table.observe("full", 1000, 100.0)
    table.observe("full", 1000, 10_000.0)
    assert table.predict_ms("full", 1000) == 100.0


def test_batches_have_times_of_their_own() -> None:
    table = CostTable()
    for batch, took_ms in ((1, 10.0), (4, 30.0)):
        for _ in range(FEW):
            table.observe("full", 1000, took_ms, batch)
    assert [table.predict_ms("full", 1000, batch) for batch in (1, 3, 4)] == [10.0, 30.0, 30.0]


def test_a_new_batch_size_costs_more_by_what_its_steps_do() -> None:
    table = CostTable(step_ms=lambda batch: 2.0 + batch)
    for _ in range(FEW):
        table.observe("full", 1000, 30.0, 1)
    assert table.predict_ms("full", 1000, 8) == 30.0 * 10 / 3
    assert table.predict_ms("full", 1000, 2) == 30.0 * 4 / 3


def test_unknown_sizes_borrow_from_smaller_ones_only() -> None:
    table = CostTable()
    table.observe("full", 1000, 100.0)
    assert table.predict_ms("full", 1_000_000) == 100.0 * (1 + CAUTION)
    assert table.predict_ms("full", 10) is None


def test_missing_a_deadline_never_lowers_the_prediction() -> None:
    table = CostTable()
    table.observe("full", 1000, 100.0)
    table.observe_at_least("full", 1000, 20.0)
    assert table.predict_ms("full", 1000) == 100.0 * (1 + CAUTION)
    table.observe_at_least("full", 1000, 500.0)
    predicted = table.predict_ms("full", 1000)
    assert predicted is not None and predicted > 150


def test_a_slow_moment_is_forgiven_in_time() -> None:
    table = CostTable()
    table.observe("full", 1000, 10_000.0)
    skipped = 0
    while (table.predict_ms("full", 1000) or 0) > 100:
        table.forgive("full", 1000)
        skipped += 1
    assert 100 < skipped < 1000


def taught(took_ms: float = 100.0, **table: Any) -> CostTable:
    known = CostTable(**table)
    for rung in ("full", "extract"):
        for _ in range(FEW):
            known.observe(rung, 1000, took_ms, 4)
    return known


def test_another_model_begins_with_what_the_one_before_took() -> None:
    assert taught().heir(step_ms=None).predict_ms("full", 1000, 4) == 100.0


def test_what_it_begins_with_is_scaled_by_their_steps() -> None:
    heir = taught(step_ms=lambda batch: 2.0 + batch).heir(step_ms=lambda batch: 3 * (2.0 + batch))
    assert heir.predict_ms("full", 1000, 4) == 300.0
    assert heir.predict_ms("full", 1000, 8) == 300.0 * 10 / 6


def test_a_slower_one_is_believed_at_once_and_a_faster_one_soon() -> None:
    slower, faster = taught().heir(step_ms=None), taught().heir(step_ms=None)
    slower.observe("full", 1000, 200.0, 4)
    assert slower.predict_ms("full", 1000, 4) == 200.0 * (1 + CAUTION)
    for _ in range(FEW - 1):
        faster.observe("full", 1000, 10.0, 4)
        assert faster.predict_ms("full", 1000, 4) == 100.0
    faster.observe("full", 1000, 10.0, 4)
    assert faster.predict_ms("full", 1000, 4) == 10.0


def test_what_another_took_is_forgiven_too() -> None:
    heir = taught(10_000.0).heir(step_ms=None)
    for _ in range(400):
        heir.forgive("full", 1000, 4)
    assert (heir.predict_ms("full", 1000, 4) or 0) < 10


def test_what_is_made_without_a_model_is_learned_for_both() -> None:
    before = taught()
    heir = before.heir(step_ms=None, shared=("extract", "lead"))
    for rung in ("extract", "lead"):
        for table in (before, heir):
            table.observe(rung, 1000, 50.0, 4)
        assert before.predict_ms(rung, 1000, 4) == heir.predict_ms(rung, 1000, 4)
    assert heir.predict_ms("extract", 1000, 4) == 100.0


def test_what_is_known() -> None:
    known = taught().heir(step_ms=None, shared=("extract",)).known()
    assert [(each.rung, each.size, each.batch, each.predicted_ms, each.num_times) for each in known] == [
        ("extract", 1023, 4, 100.0, FEW),
        ("full", 1023, 4, 100.0, 0),
    ]
