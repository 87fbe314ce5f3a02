"""The search for the highest rate that is kept, and one run against a whole server."""

from typing import Any

import pytest

from qdts.errors import ConfigError
from qdts.loadtest import bench_serving
from qdts.loadtest.bench_serving import ServingConfig, keeps, measure, search
from qdts.service.bench.curve import Point
from qdts.service.bench.figures import describe
from qdts.service.bench.outcome import Outcome


def point(rate: float, *, took_s: float = 0.02, **differs: Any) -> Point:
    """100 answers by the model that took so long, or what differs."""
    alike = {"kind": "x", "planned_s": 0.0, "sent_s": 0.0, "ended_s": took_s, "deadline_s": 0.055, "code": "OK"}
    alike |= {"rung": "full", "origin_rung": "full"}
    return Point(rate=rate, figures=describe([Outcome(number=n, **(alike | differs)) for n in range(100)], 1.0))


@pytest.mark.parametrize(
    ("seen", "is_kept"),
    [
        (point(1), True),
        (point(1, took_s=0.0551), False),
        (point(1, rung="extractive", origin_rung="extractive"), False),
        (point(1, code="RESOURCE_EXHAUSTED", rung=""), False),
    ],
)
def test_kept_is_in_time_and_by_the_model(seen: Point, is_kept: bool) -> None:
    assert keeps(seen, 55) is is_kept


def test_rates_double_and_then_close_in_on_the_limit() -> None:
    """A server that keeps up to 700/s."""
    asked: list[float] = []

    def at(rate: float) -> Point:
        asked.append(rate)
        return point(rate, took_s=0.02 if rate <= 700 else 0.2)

    points = search(at, ServingConfig(first_rate=100, refinements=3, settings={}))
    assert asked == [100, 200, 400, 800, 600, 700, 750]
    assert [one.rate for one in points] == sorted(asked)
    assert max(one.rate for one in points if keeps(one, 55)) == 700


def test_one_that_keeps_nothing_is_not_asked_for_long() -> None:
    points = search(lambda rate: point(rate, took_s=1.0), ServingConfig(first_rate=100, settings={}))
    assert [one.rate for one in points] == [100]


@pytest.mark.parametrize("wrong", [{"fronts": 0}, {"slo_ms": 0}, {"first_rate": 0}, {"seconds": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ServingConfig(settings={}, **wrong)


def test_a_whole_server_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """At two rates: where it stops is for the tests above."""
    monkeypatch.setattr(bench_serving, "MAX_DOUBLINGS", 2)
    figures = measure(
        ServingConfig(
            slo_ms=5000,
            first_rate=2,
            refinements=0,
            seconds=0.5,
            drivers=2,
            fronts=1,
            settings={"engine.num_threads": 1},
        )
    )
    points: Any = figures["points"]
    assert points and points[0]["goodput"] > 0 and points[0]["rungs"].keys() <= {"full", "shorter", "passages"}
    assert float(str(figures["requests_per_s"])) >= 2
