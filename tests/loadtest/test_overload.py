"""What overload.py makes of runs, and one small run of all of it."""

import json
from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.loadtest import overload
from qdts.loadtest.overload import Measured, OverloadConfig, figures_of
from qdts.loadtest.overload_bars import missed_bars, verdict
from qdts.loadtest.scenarios.bars import ServerFigures
from qdts.loadtest.scenarios.run import Result, StreamResult
from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.journal import StepFigures
from qdts.loadtest.simulation.server import ServedConfig
from qdts.service.bench.driver import Run
from qdts.service.bench.figures import describe
from qdts.service.bench.outcome import Outcome

ISSUE = "goodput_ratio_10x accepted_p99_over_slo reject_p99_ms recovery_s late_replies wasted_steps health_p99_ms"


def outcomes(
    *, full: int = 0, lead: int = 0, shed: int = 0, shed_ms: float = 1, latency_ms: float = 50
) -> list[Outcome]:
    def one(number: int, code: str, rung: str, took_ms: float) -> Outcome:
        return Outcome(
            number=number, kind="interactive", planned_s=0, sent_s=0, ended_s=took_ms / 1000, deadline_s=0.1, code=code,
            rung=rung, origin_rung=rung,
        )  # fmt: skip

    ends = [("OK", "full", latency_ms)] * full + [("OK", "lead", 1.0)] * lead
    ends += [("RESOURCE_EXHAUSTED", "", shed_ms)] * shed
    return [one(number, *end) for number, end in enumerate(ends)]


def result(name: str, ended: list[Outcome], *, health_ms: float = 5, wasted: int = 0, recovery: float = 0) -> Result:
    figures = describe(ended, seconds=1)
    return Result(
        name=name,
        figures=figures,
        by_class={"interactive": StreamResult(figures=figures, recovery_s=recovery, missed=())},
        steps=StepFigures(taken=100, wasted=wasted, unused=wasted),
        server=ServerFigures(health_p99_ms=health_ms, health_bad=0),
        server_missed=(),
        run=Run(started_at=0, outcomes=tuple(ended)),
    )


def measured(at_10x: Result, **others: Result) -> Measured:
    points = {1.0: result("1x", outcomes(full=100)), 10.0: at_10x}
    good, refused = result("scenario", outcomes(full=10)), result("refusals", outcomes(full=10, shed=90))
    scenarios = {"step": good, "priority_storm": good, "refusals": refused}
    return Measured(capacity_qps=100, points=points, scenarios=scenarios | others)


def test_a_server_that_holds_up_misses_nothing() -> None:
    figures = figures_of(measured(result("10x", outcomes(full=95, lead=5, shed=900))))
    assert set(ISSUE.split()) <= set(figures)
    assert figures["goodput_at_10x"] == {"full": 95.0, "model": 95.0, "any": 100.0}
    assert figures["goodput_ratio_10x"] == 0.95 and figures["reject_p99_ms"] == 1
    assert missed_bars(figures) == [] and verdict([], is_reliable=True) == 0


@pytest.mark.parametrize(
    ("at_10x", "others", "problem"),
    [
        (outcomes(full=80, lead=900), {}, "goodput_ratio_10x = 0.8, at least 0.9"),
        (outcomes(lead=1000), {}, "goodput_ratio_10x = 0, at least 0.9"),
        (outcomes(shed=1000), {}, "goodput_ratio_10x = 0, at least 0.9"),
        (outcomes(full=95, shed=10, shed_ms=5), {}, "reject_p99_ms = 5, below 5"),
        (outcomes(full=100), {"step": result("step", outcomes(full=9), recovery=1.2)}, "recovery_s = 1.2, below 1"),
        (outcomes(full=100), {"step": result("step", outcomes(full=9), wasted=1)}, "wasted_steps = 1, at most 0"),
        (outcomes(full=95) + outcomes(full=9, latency_ms=107), {}, "late_replies = 9, at most 0"),
        (
            outcomes(full=100),
            {"priority_storm": result("storm", outcomes(full=9, shed=1))},
            "interactive_attainment = 0.9",
        ),
    ],
)
def test_each_way_to_fail_is_named(at_10x: list[Outcome], others: dict[str, Result], problem: str) -> None:
    missed = missed_bars(figures_of(measured(result("10x", at_10x), **others)))
    assert any(bar.startswith(problem) for bar in missed), missed
    assert verdict(missed, is_reliable=True) == 1 and verdict(missed, is_reliable=False) == 3


def test_a_scenario_says_whether_its_requests_were_on_time() -> None:
    assert result("steady", outcomes(full=3)).to_json()["is_reliable"] is True


def test_refusals_say_what_of_their_time_was_the_servers() -> None:
    figures = figures_of(measured(result("10x", outcomes(full=100))))
    assert figures["reject_p99_ms"] == 1 and figures["refusals_sending_lag_p99_ms"] == 0
    assert figures["reject_p99_ms_from_sending"] == 1
    assert (figures["refused_by_server_within_5_ms"], figures["refused_by_server_within_10_ms"]) == (1.0, 1.0)


def test_where_nobody_was_refused_the_bar_is_missed() -> None:
    seen = measured(result("10x", outcomes(full=100)))
    del seen.scenarios["refusals"], seen.scenarios["step"]
    assert missed_bars(figures_of(seen)) == ["reject_p99_ms was not measured", "recovery_s was not measured"]


def test_slow_health_at_ten_times_the_load_is_named() -> None:
    figures = figures_of(measured(result("10x", outcomes(full=100), health_ms=60)))
    assert missed_bars(figures) == ["health_p99_ms = 60, below 50"]


@pytest.mark.parametrize(("wasted", "status"), [(0, 0), (3, 1)])
def test_quick_script_judges_what_it_saw(
    wasted: int, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[OverloadConfig] = []
    seen = measured(result("10x", outcomes(full=100), wasted=wasted))
    monkeypatch.setattr(overload, "measure", lambda config: asked.append(config) or seen)
    monkeypatch.setattr("sys.argv", ["overload", "--quick", "--json"])
    assert overload.main() == status
    assert asked[0].multiples == overload.QUICK_MULTIPLES and asked[0].served.costs is not None
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    assert figures["reject_p99_ms"] == 1 and figures["goodput_at_1x"]["full"] == 100
    assert figures["missed"] == (["wasted_steps = 3, at most 0"] if wasted else [])


def test_one_and_ten_times_the_capacity_must_be_measured() -> None:
    with pytest.raises(ConfigError, match="1x and 10x"):
        OverloadConfig(served=ServedConfig(), multiples=(2.0,))


@pytest.mark.slow
def test_the_whole_way_runs_and_says_what_it_saw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small and short: the figures are a busy test machine's, but every step taken and every request is counted."""
    costs = CostModel(encode_ms=20, encode_ms_per_token=0, step_ms=10, step_ms_per_token=0, num_steps=5)
    config = OverloadConfig(
        served=ServedConfig(costs=costs, settings={"engine.max_batch": 1}),
        multiples=(1.0, 10.0),
        seconds=1.0,
        capacity_seconds=1.5,
        deadline_ms=2000,
    )
    monkeypatch.setattr(overload, "SCENARIOS", ())
    seen = overload.measure(config)
    assert 5 < seen.capacity_qps <= 1000 / 70 * 1.1
    figures = figures_of(seen)
    assert [one.name for one in seen.results] == ["1x", "10x"]
    assert figures["recovery_s"] is None and figures["interactive_attainment"] is None
    for one in seen.results:
        ends = one.figures
        assert ends.planned == len(one.run.outcomes) > 0 and ends.failed == 0
        assert one.steps.taken >= 5 * ends.rungs.get("full", 0)
    overload.write_report(seen, config, tmp_path)
    assert "1 s a point" in (tmp_path / "overload.html").read_text(encoding="utf-8")
    assert (tmp_path / "overload.md").read_text(encoding="utf-8").count("\n") == 6
