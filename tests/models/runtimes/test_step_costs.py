"""A runtime's steps can be timed, and timing them leaves no trace."""

from qdts.models.decoding.measuring import measure_step_costs
from qdts.models.runtimes.base import Runtime


def test_every_step_of_every_runtime_takes_time(runtime: Runtime) -> None:
    costs = measure_step_costs(runtime, batch_sizes=(1, 2), widths=(1, 16), document_tokens=30, repeats=1)
    assert all(ms > 0 for row in costs.ms for ms in row)
    assert costs.step_ms(1, 8) > 0
