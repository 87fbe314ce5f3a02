"""Costs and the capacity that follows, by hand."""

import pytest

from qdts.errors import ConfigError
from qdts.loadtest.simulation.costs import CostModel

COSTS = CostModel(
    encode_ms=2, encode_ms_per_token=0.1, max_tokens=100, step_ms=5, step_ms_per_token=0.5, step_width=2, num_steps=10
)


def test_reading_and_writing_cost_what_they_say() -> None:
    assert COSTS.encoding_ms(80) == 10
    assert (COSTS.stepping_ms(1), COSTS.stepping_ms(5)) == (6, 10)


def test_capacity_is_a_batch_over_its_round() -> None:
    assert COSTS.capacity_qps(1, 80) == pytest.approx(1000 / (10 + 10 * 6))
    assert COSTS.capacity_qps(5, 80) == pytest.approx(5000 / (5 * 10 + 10 * 10))


def test_tokens_grow_with_characters_up_to_a_bound() -> None:
    assert [COSTS.num_tokens(chars) for chars in (0, 44, 45, 10_000)] == [1, 10, 11, 100]
    assert COSTS.num_tokens(10_000, passages_only=True) == 50


@pytest.mark.parametrize("fields", [{"step_ms": -1}, {"num_steps": 0}, {"max_tokens": 0}])
def test_impossible_costs_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"costs.{next(iter(fields))}"):
        CostModel(**fields)  # type: ignore[arg-type]
