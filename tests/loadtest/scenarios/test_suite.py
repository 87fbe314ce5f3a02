"""A scenario on a server of its own, judged by its bars; what is made of several."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qdts.loadtest import overload
from qdts.loadtest.overload_bars import MISSED
from qdts.loadtest.redis_server import find_redis_server
from qdts.loadtest.scenarios import suite
from qdts.loadtest.scenarios.config import load_scenario
from qdts.loadtest.scenarios.suite import Ran, SuiteConfig, figures_of, is_reliable, run_one, to_markdown
from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.server import ServedConfig

FAST = CostModel(encode_ms=2, encode_ms_per_token=0, step_ms=2, step_ms_per_token=0, num_steps=5)
CONFIG = SuiteConfig(served=ServedConfig(costs=FAST), capacity_seconds=1)
# A minute of patience: only what is not about time can be missed on a busy machine, and health may be slow there.
SMALL = """
about = "A trickle."
bars = {{ max_health_p99_ms = 6000{server} }}
[[streams]]
phases = [{{ seconds = 1, load = 0.2 }}]
class = {{ deadline_ms = 60000{kind} }}
bars = {{ {bars} }}
"""


def write(path: Path, *, server: str = "", kind: str = "", bars: str = "min_attainment = 1", more: str = "") -> str:
    path.write_text(more + SMALL.format(server=server, kind=kind, bars=bars), encoding="utf-8")
    return str(path)


@pytest.fixture(name="ran", scope="module")
def _ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run_one(write(tmp_path_factory.mktemp("toml") / "small.toml", kind=', cache_policy = "bypass"'), CONFIG)


def test_a_scenario_passes_and_says_what_it_saw(ran: Ran) -> None:
    figures = ran.result.figures
    assert ran.result.missed == [] and figures.answered == figures.planned > 0
    assert ran.result.steps.taken >= 5 * figures.rungs["full"]
    assert ran.to_json()["scenario"] == "small"


def test_a_bar_that_cannot_be_met_is_missed(tmp_path: Path) -> None:
    name = write(tmp_path / "hard.toml", server=", min_rung_changes = 1", bars="max_p99_over_slo = 0.00001")
    missed = run_one(name, CONFIG).result.missed
    assert any(bar.startswith("hard: interactive: accepted_p99_over_slo") for bar in missed)
    assert "hard: server: rung_changes = 0" in missed


@pytest.mark.skipif(
    find_redis_server() is None and not os.environ.get("QDTS_REQUIRE_REDIS"), reason="redis-server is not on PATH"
)
def test_a_redis_that_is_gone_is_noticed_by_the_server_and_by_nobody_else(tmp_path: Path) -> None:
    settings = 'settings = { "redis.url" = "REDIS_URL", "redis.secret_file" = "SECRET_FILE" }\n'
    gone = 'fault = { kind = "redis-killed", at_s = 0, for_s = 600 }\n'
    name = write(tmp_path / "gone.toml", server=", min_breaker_openings = 1", more=settings + gone)
    ran = run_one(name, CONFIG)
    assert ran.result.server.breaker_openings >= 1
    assert [bar.split(" = ")[0] for bar in ran.result.missed] == ["gone: server: open_breakers"]


def spoilt(ran: Ran, *, lag_ms: float) -> Ran:
    figures = replace(ran.result.figures, sending_lag_p99_ms=lag_ms)
    return replace(ran, result=replace(ran.result, figures=figures, server_missed=("health_bad = 1",)))


def test_what_is_missed_is_named_by_scenario(ran: Ran) -> None:
    figures: Any = figures_of([ran, spoilt(ran, lag_ms=1)])
    assert figures["missed"] == ["small: server: health_bad = 1"]
    assert set(figures["missed_by_scenario"]) == set(figures["scenarios"]) == {"small"}
    head, _, good, bad = to_markdown([ran, spoilt(ran, lag_ms=1)]).splitlines()
    assert head.count("|") == good.count("|") == bad.count("|")
    assert good.endswith("| - |") and bad.endswith("| server: health_bad = 1 |")


def test_only_what_was_sent_in_time_speaks_of_the_server(ran: Ran) -> None:
    late, in_time = spoilt(ran, lag_ms=500), spoilt(ran, lag_ms=1)
    quiet = replace(ran, result=replace(ran.result, figures=replace(ran.result.figures, sending_lag_p99_ms=1)))
    assert is_reliable([quiet]) and is_reliable([late, in_time]) and not is_reliable([quiet, late])


def test_a_run_that_says_nothing_is_repeated_once(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [spoilt(ran, lag_ms=500), replace(ran, attempts=1)]
    monkeypatch.setattr(suite, "_run", lambda scenario, config: ends.pop(0))
    again = run_one("steady", CONFIG)
    assert again.attempts == 2 and again.result.missed == [] and ends == []
    ends = [spoilt(ran, lag_ms=1), ran]
    assert run_one("steady", CONFIG).result.missed and ends == [ran]


def test_all_in_turn_leave_one_result(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def end(name: str, config: SuiteConfig) -> Ran:
        seen.append(name)
        named = replace(spoilt(ran, lag_ms=1) if name == "sine" else ran, scenario=load_scenario(name))
        return replace(named, result=replace(named.result, name=name))

    monkeypatch.setattr(overload, "run_one", end)
    monkeypatch.setattr(overload, "RESULTS_DIR", tmp_path)
    monkeypatch.setattr(overload, "record", lambda name, args, figures: (tmp_path / name).touch() or dict(figures))
    monkeypatch.setattr("sys.argv", ["overload", "--scenario", "all", "--simulated"])
    assert overload.main() == MISSED
    assert seen == overload.names() and (tmp_path / "scenarios").exists()
    assert (tmp_path / "scenarios.md").read_text(encoding="utf-8").count("\n| ") == len(seen) + 2
    assert "missed: sine: server: health_bad = 1" in capsys.readouterr().err
