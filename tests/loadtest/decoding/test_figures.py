"""Ratios are medians over what ran side by side."""

from qdts.loadtest.decoding.drafters import GATED, PLAIN
from qdts.loadtest.decoding.figures import figures_of, is_lossless
from qdts.loadtest.decoding.passes import Comparison, Run, Tally


def tally(outputs: list[list[int]], num_steps: int, ms: list[float]) -> Tally:
    found = Tally()
    for number, one in enumerate(ms):
        found.add(Run(outputs=outputs if number == 0 else [], num_steps=num_steps, start_ms=1.0, ms=one))
        num_steps = 0
    return found


def test_ratios_are_medians_over_batches() -> None:
    plain = tally([[1, 2], [3]], 3, [10.0, 10.0, 100.0])
    fast = tally([[1, 2], [4]], 2, [5.0, 2.0, 1.0])
    figures = figures_of(Comparison({PLAIN: plain, GATED: fast}, pairs=[0.5, 0.2, 0.01, 1.5, 0.3]), read_ms=7.0)
    assert figures["rows"] == 2
    assert figures["gated_vs_plain"] == {"median": 0.3, "low": 0.2, "high": 0.5, "pairs": 5}
    assert figures["drafters"][PLAIN] == {
        "same_rows": 2,
        "tokens_per_step": 1.0,
        "ms_per_request": 10.0,
        "requests_per_s": 55.56,
        "speedup": 1.0,
    }
    gated = figures["drafters"][GATED]
    assert (gated["same_rows"], gated["tokens_per_step"], gated["requests_per_s"]) == (1, 1.5, 100.0)
    assert gated["speedup"] == 5.0
    assert not is_lossless(figures)
    figures["drafters"][GATED]["same_rows"] = 2
    assert is_lossless(figures)
