"""Costs between the measured points, and bad tables refused."""

from typing import Any

import numpy as np
import pytest

from qdts.models.decoding.costs import StepCosts, batch_sizes_up_to, without_noise

COSTS = StepCosts(batch_sizes=(1, 4), widths=(1, 9, 17), ms=((1.0, 2.0, 4.0), (4.0, 8.0, 16.0)))


@pytest.mark.parametrize(
    ("batch_size", "width", "ms"),
    [(1, 1, 1.0), (4, 17, 16.0), (1, 5, 1.5), (1, 13, 3.0), (2, 1, 2.0), (2, 9, 4.0), (1, 25, 6.0), (8, 1, 8.0)],
)
def test_between_and_beyond_what_was_measured(batch_size: int, width: int, ms: float) -> None:
    assert COSTS.step_ms(batch_size, width) == pytest.approx(ms)


def test_no_step_costs_less_than_nothing() -> None:
    falling = StepCosts(batch_sizes=(1, 2), widths=(1, 2), ms=((4.0, 1.0), (4.0, 1.0)))
    assert falling.step_ms(1, 9) == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_sizes": (1,)}, "batch_sizes must be two or more"),
        ({"widths": (9, 1, 17)}, "widths must be two or more, ascending"),
        ({"ms": ((1.0, 2.0), (4.0, 8.0))}, "ms must hold a row per batch size"),
    ],
)
def test_bad_tables_are_refused(changes: dict[str, Any], message: str) -> None:
    whole = {"batch_sizes": COSTS.batch_sizes, "widths": COSTS.widths, "ms": COSTS.ms}
    with pytest.raises(ValueError, match=message):
        StepCosts(**(whole | changes))


@pytest.mark.parametrize(
    ("limit", "sizes"), [(1, (1, 2)), (2, (1, 2)), (3, (1, 2, 3)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12))]
)
def test_no_batch_is_measured_that_is_never_run(limit: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes_up_to(limit) == sizes


def test_what_was_done_in_less_time_did_not_need_more() -> None:
    """A slow moment of the machine shows where a smaller step took longer."""
    measured = np.array([[9.0, 2.0, 4.0], [3.0, 8.0, 6.0]])
    assert without_noise(measured).tolist() == [[2.0, 2.0, 4.0], [3.0, 6.0, 6.0]]
    rising = np.array([[1.0, 2.0], [2.0, 5.0]])
    assert without_noise(rising).tolist() == rising.tolist()
