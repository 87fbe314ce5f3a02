"""Arrivals: the rate that was asked for, at the times that were asked for."""

import statistics

import pytest

from qdts.errors import ConfigError
from qdts.service.bench.arrivals import ArrivalConfig, Phase, arrival_times

POISSON = ArrivalConfig()


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in zip(times, times[1:], strict=False)]


def test_constant_arrivals_are_evenly_spaced() -> None:
    times = arrival_times([Phase(seconds=2, rate=4)], ArrivalConfig(process="constant"), seed=1)
    assert times == [0.125, 0.375, 0.625, 0.875, 1.125, 1.375, 1.625, 1.875]


def test_a_phase_begins_where_the_one_before_ends() -> None:
    phases = [Phase(seconds=1, rate=2), Phase(seconds=5, rate=0), Phase(seconds=1, rate=1)]
    assert arrival_times(phases, ArrivalConfig(process="constant"), seed=1) == [0.25, 0.75, 6.5]


def test_poisson_gaps_are_exponential() -> None:
    times = arrival_times([Phase(seconds=1000, rate=10)], POISSON, seed=1)
    assert len(times) == pytest.approx(10_000, rel=0.03)
    assert statistics.mean(gaps(times)) == pytest.approx(0.1, rel=0.03)
    assert statistics.stdev(gaps(times)) == pytest.approx(0.1, rel=0.05), "as large as the mean"
    assert sum(gap > 0.1 for gap in gaps(times)) / len(times) == pytest.approx(0.368, abs=0.02), "1 / e"


def test_poisson_follows_the_phases() -> None:
    times = arrival_times([Phase(seconds=100, rate=10), Phase(seconds=100, rate=100)], POISSON, seed=1)
    assert sum(at < 100 for at in times) == pytest.approx(1000, rel=0.1)
    assert sum(at >= 100 for at in times) == pytest.approx(10_000, rel=0.05)
    assert times == sorted(times) and times[-1] < 200


def test_bursts_keep_the_mean_rate_and_crowd_together() -> None:
    phases = [Phase(seconds=2000, rate=10)]
    times = arrival_times(phases, ArrivalConfig(process="bursty", burst_s=0.5, burst_share=0.25), seed=1)
    assert len(times) == pytest.approx(20_000, rel=0.1)
    spread = statistics.stdev(gaps(times)) / statistics.mean(gaps(times))
    assert spread > 1.5, "a Poisson process has 1"
    assert statistics.median(gaps(times)) == pytest.approx(0.69 / 40, rel=0.2), "four times the rate within a burst"


def test_the_same_seed_gives_the_same_times() -> None:
    phases = [Phase(seconds=10, rate=10)]
    assert arrival_times(phases, POISSON, seed=3) == arrival_times(phases, POISSON, seed=3)
    assert arrival_times(phases, POISSON, seed=3) != arrival_times(phases, POISSON, seed=4)


def test_a_share_of_all_the_time_is_no_burst_at_all() -> None:
    phases = [Phase(seconds=100, rate=10)]
    times = arrival_times(phases, ArrivalConfig(process="bursty", burst_share=1), seed=1)
    assert len(times) == pytest.approx(1000, rel=0.15)


@pytest.mark.parametrize("field", ["seconds", "rate"])
def test_a_negative_phase_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"phase.{field} = -1"):
        Phase(**({"seconds": 1, "rate": 1} | {field: -1}))
