"""Scenario files: the shipped ones are whole, a broken one is named."""

from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.loadtest.scenarios.config import load_scenario, make_arrivals, names
from qdts.models.evaluation.samples import load_row_file


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_all_that_are_named_ship() -> None:
    wanted = (
        "bursts cache_cold priority_storm redis_down redis_silent refusals sine slow_client spike steady step ten_fold"
    )
    assert names() == wanted.split()


@pytest.mark.parametrize("name", names())
def test_each_has_a_story_and_ends_soon(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.about.endswith(".") and 0 < scenario.seconds <= 60
    assert len({stream.kind.name for stream in scenario.streams}) == len(scenario.streams)
    assert all(stream.bars.min_attainment > 0 for stream in scenario.streams), "whoever asks is to be answered"


def test_the_storm_is_twelvefold_and_of_low_priority() -> None:
    by_name = {stream.kind.name: stream for stream in load_scenario("priority_storm").streams}
    before, during, _ = (phase.load for phase in by_name["prefetch"].phases)
    assert during == 12 * before and by_name["prefetch"].kind.priority == "prefetch"
    assert by_name["prefetch"].rises_at_s == 3 and by_name["interactive"].rises_at_s == 0
    assert by_name["interactive"].bars.min_attainment == 0.994


def test_streams_are_merged_in_the_order_of_time() -> None:
    arrivals = make_arrivals(load_scenario("priority_storm"), load_row_file(), capacity_qps=50, is_numbered=True)
    assert [arrival.at_s for arrival in arrivals] == sorted(arrival.at_s for arrival in arrivals)
    assert [arrival.number for arrival in arrivals] == list(range(len(arrivals)))
    assert arrivals[17].request.query.endswith(" #17")
    spike = [one for one in arrivals if one.kind.name == "prefetch" and 3 <= one.at_s < 6]
    assert len(spike) == pytest.approx(3 * 3 * 50, rel=0.2)


def test_a_swing_goes_up_first_and_keeps_its_mean() -> None:
    [stream] = load_scenario("sine").streams
    phases = [phase for one in stream.phases for phase in one.phases(capacity_qps=50)]
    rates = [phase.rate for phase in phases]
    assert sum(phase.seconds for phase in phases) == pytest.approx(60)
    assert sum(rates) / len(rates) == pytest.approx(50)
    assert rates[0] > 50 and max(rates) == pytest.approx(80, rel=0.01) and min(rates) == pytest.approx(20, rel=0.02)
    arrivals = make_arrivals(load_scenario("sine"), load_row_file(), capacity_qps=50)
    crest = sum(2 <= one.at_s % 15 < 5.5 for one in arrivals)
    trough = sum(9.5 <= one.at_s % 15 < 13 for one in arrivals)
    assert crest > 2 * trough > 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('about = ""\nstreams = [{ phases = [{ seconds = 1, load = 1, swing = 2 }] }]', "phase.swing = 2"),
        ('about = ""\nstreams = []\nbars = { min_luck = 1 }', "min_luck"),
        ("streams = [", "Unclosed array|Invalid"),
        ('about = "x"', "streams"),
        ("streams = [{ phases = [{ seconds = 1, lod = 1 }] }]", "lod"),
        ('about = ""\nstreams = [{ phases = [], class = { deadline_ms = 0 } }]', "deadline_ms = 0"),
        ('about = ""\nstreams = []\nfault = { kind = "fire", at_s = 1, for_s = 1 }', "fault.kind = 'fire'"),
    ],
)
def test_a_broken_file_is_an_error_that_says_where(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_scenario(write(tmp_path / "broken.toml", text))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="scenario stedy: is none of bursts, cache_cold, .*steady"):
        load_scenario("stedy")
