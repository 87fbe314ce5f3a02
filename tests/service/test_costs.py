"""Predictions follow what was observed."""

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
