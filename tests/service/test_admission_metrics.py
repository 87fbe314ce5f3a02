"""What admission counts."""

from qdts.service.metrics import Metrics
from qdts.service.request import Priority


def test_changes_of_pressure_are_counted_and_not_its_being_seen_again() -> None:
    metrics = Metrics()
    for level in (0, 1, 1, 2, 2, 1):
        metrics.admission.observe_pressure(Priority.INTERACTIVE, level)
    metrics.admission.observe_pressure(Priority.BULK, 0)
    assert metrics.value("qdts_pressure_changes_total", priority="interactive") == 3
    assert metrics.value("qdts_pressure_changes_total", priority="bulk") == 0
