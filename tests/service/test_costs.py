"""Predictions follow what was observed."""

from qdts.service.costs import CAUTION, CostTable


def test_nothing_known() -> None:
    assert CostTable().predict_ms("full", 1000) is None


def test_prediction_is_the_average_and_some_caution() -> None:
    table = CostTable()
    for _ in range(50):
        table.observe("full", 1000, 100.0)
    assert table.predict_ms("full", 1000) == 100.0 * (1 + CAUTION)
    assert table.predict_ms("other", 1000) is None


def test_averages_follow_a_change() -> None:
    table = CostTable()
    table.observe("full", 1000, 100.0)
    for _ in range(30):
        table.observe("full", 1000, 10.0)
    predicted = table.predict_ms("full", 1000)
    assert predicted is not None and 12.0 <= predicted < 13.0


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
