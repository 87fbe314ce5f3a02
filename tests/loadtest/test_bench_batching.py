"""The experiment on batch sizes, on a model whose gain from batching is known."""

from typing import Any

import pytest

from qdts.errors import ConfigError
from qdts.loadtest.bench_batching import BatchingConfig, Measured, Trial, figures_of, measure
from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.server import ServedConfig

# A step takes as long for eight as for one: four at a time are nearly four times as many.
BATCHING_PAYS = CostModel(encode_ms=1, encode_ms_per_token=0, step_ms=20, step_ms_per_token=0, num_steps=5)


def trial(size: int, multiple: float, model_qps: float, *, is_reliable: bool = True) -> Trial:
    return Trial(
        max_batch=size, multiple=multiple, offered_qps=20, model_goodput_qps=model_qps, goodput_qps=20, attainment=1,
        p50_ms=10, p99_ms=None, mean_batch=1, is_reliable=is_reliable,
    )  # fmt: skip


def test_medians_gains_and_the_best_are_by_rate() -> None:
    config = BatchingConfig(sizes=(1, 4), multiples=(1.0, 2.0))
    at_1x = [trial(1, 1.0, qps) for qps in (10, 12, 99)] + [trial(4, 1.0, qps) for qps in (12, 12, 12)]
    at_2x = [trial(1, 2.0, 10), trial(4, 2.0, 15, is_reliable=False)]
    measured = Measured(reference_qps=12.345, capacities={1: [10, 11, 30], 4: [20]}, trials=at_1x + at_2x)
    figures: Any = figures_of(measured, config)
    assert figures["best_at_1x"] == 1, "of equals, the smaller"
    assert figures["best_at_2x"] == 4 and figures["capacity_qps"] == {1: 11, 4: 20}
    gains = {(row["max_batch"], row["multiple"]): row["gain"] for row in figures["table"]}
    assert gains == {(1, 1.0): 1, (4, 1.0): 1, (1, 2.0): 1, (4, 2.0): 1.5}
    assert figures["is_reliable"] is False and len(figures["trials"]) == 8


@pytest.mark.parametrize("changed", [{"sizes": (2, 4)}, {"multiples": ()}, {"repeats": 0}])
def test_without_something_to_compare_with_it_does_not_begin(changed: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="batching: needs"):
        BatchingConfig(**changed)


@pytest.mark.slow
def test_where_batching_pays_it_is_seen_to() -> None:
    """Capacity is about 9.9 a second alone and 38 with four places; a busy machine takes off from both."""
    config = BatchingConfig(
        served=ServedConfig(costs=BATCHING_PAYS),
        sizes=(1, 4),
        multiples=(2.0,),
        seconds=1.5,
        capacity_seconds=1,
        deadline_ms=10_000,
        repeats=1,
    )
    measured = measure(config)
    figures: Any = figures_of(measured, config)
    assert 1 < measured.reference_qps < 11
    assert figures["capacity_qps"][4] > 1.5 * figures["capacity_qps"][1]
    alone, four = figures["table"]
    assert alone["offered_qps"] == four["offered_qps"] and alone["mean_batch"] == 1 < four["mean_batch"] <= 4
