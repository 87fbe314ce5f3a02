"""What bench_front.py makes of its runs; the servers it measures, for a moment each."""

import pytest

from qdts.loadtest.bench_front import (
    FrontConfig,
    Load,
    fleet,
    of_load,
    of_model,
    of_open,
    of_server,
    unreliable,
    worth,
)
from qdts.loadtest.closed_loop import ClosedRun
from qdts.service.bench.figures import MAX_LAG_MS, Latency, describe
from qdts.service.bench.outcome import Outcome


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


def test_run_that_was_sent_too_late_is_named() -> None:
    def opened(lag_ms: float) -> dict[str, object]:
        sent_s = lag_ms / 1000
        one = Outcome(number=0, kind="made", planned_s=0, sent_s=sent_s, ended_s=1, deadline_s=10, code="OK")
        return of_open(describe([one], 1))

    punctual, late = opened(MAX_LAG_MS), opened(MAX_LAG_MS + 1)
    assert (punctual["open_is_reliable"], late["open_is_reliable"]) == (True, False)
    figures = {
        f"two_{kind}_{name}": value for kind, row in (("made", punctual), ("hit", late)) for name, value in row.items()
    }
    assert unreliable(figures) == ["two_hit"]


@pytest.mark.slow
def test_a_server_of_two_fronts_and_two_engines_is_measured() -> None:
    config = FrontConfig(seconds=0.5, callers=(4,))
    with fleet(fronts=2, engines=2, is_instant=True) as server:
        assert set(server.pids) == {"front-0", "front-1", "engine-0", "engine-1"}
        figures = of_server("two", server, server.pids, config)
    for kind in ("made", "hit"):
        assert figures[f"two_{kind}_failed"] == 0 and figures[f"two_{kind}_open_failed"] == 0
        assert isinstance(rps := figures[f"two_{kind}_rps"], float) and rps > 0
    assert isinstance(made := figures["two_made_engine_cpu_ms"], float)
    assert isinstance(hit := figures["two_hit_engine_cpu_ms"], float)
    assert made > hit  # the engine is asked where nothing is in the cache
