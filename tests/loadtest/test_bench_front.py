"""What bench_front.py makes of its runs; the servers it measures, for a moment each."""

import pytest

from qdts.loadtest.bench_front import FrontConfig, Load, fleet, of_load, of_model, of_server, worth
from qdts.loadtest.closed_loop import ClosedRun
from qdts.service.bench.figures import Latency


def load(**cpu_ms: float) -> Load:
    latency = Latency.of([0.01, 0.02])
    run = ClosedRun(rps=400.0, latency=latency, num_answered=500, num_failed=0, driver_cpu_ms_per_rpc=0.2)
    return Load(num_callers=16, run=run, cpu_ms={name.replace("_", "-"): ms for name, ms in cpu_ms.items()})


def test_time_is_the_fronts_or_the_engines() -> None:
    figures = of_load(load(front_0=0.5, front_1=0.75, engine_0=3.0))
    assert (figures["front_cpu_ms"], figures["engine_cpu_ms"]) == (1.25, 3.0)
    assert figures["rps_per_front_core"] == 800.0


def test_share_of_the_front_and_what_follows() -> None:
    figures = of_model(load(front_0=5.0, engine_0=45.0))
    assert figures["model_front_share"] == 0.1
    assert worth(figures)["front_limit_rps"] == 200.0
    assert "200 requests/s" in str(worth(figures)["worth"]) and "is 100:" in str(worth(figures)["worth"])


@pytest.mark.slow
def test_a_server_of_two_fronts_is_measured() -> None:
    config = FrontConfig(seconds=0.5, callers=(4,))
    with fleet(fronts=2, is_instant=True) as server:
        assert set(server.pids) == {"front-0", "front-1", "engine-0"}
        figures = of_server("two", server, server.pids, config)
    for kind in ("made", "hit"):
        assert figures[f"two_{kind}_failed"] == 0 and figures[f"two_{kind}_open_failed"] == 0
        assert isinstance(rps := figures[f"two_{kind}_rps"], float) and rps > 0
    assert isinstance(made := figures["two_made_engine_cpu_ms"], float)
    assert isinstance(hit := figures["two_hit_engine_cpu_ms"], float)
    assert made > hit  # the engine is asked where nothing is in the cache
