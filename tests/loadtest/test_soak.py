"""What soak.py makes of what it saw, and a short soak of a real server."""

from pathlib import Path

import pytest

from qdts.loadtest import soak as soak_script
from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.server import ServedConfig, Status
from qdts.loadtest.soak import SoakConfig, Soaked, course_of, figures_of, missed_bars, slope, soak
from qdts.loadtest.soak_plot import save_plot
from qdts.service.bench.driver import Run
from qdts.service.bench.outcome import Outcome
from qdts.service.bench.report import can_plot

CONFIG = SoakConfig(served=ServedConfig(), seconds=60, num_cancels=2)


def status(*, mb: float = 100, tasks: int = 5, files: int = 20, places: int = 0) -> Status:
    return Status(resident_mb=mb, num_tasks=tasks, num_files=files, num_open=places)


def soaked(
    after: Status, *, growth_mb_per_s: float = 0.0, codes: tuple[str, ...] = ("CANCELLED", "CANCELLED")
) -> Soaked:
    ends = (
        Outcome(number=n, kind="leave", planned_s=0, sent_s=0, ended_s=0.1, deadline_s=1, code=code)
        for n, code in enumerate(codes)
    )
    samples = [(float(second), status(mb=100 + growth_mb_per_s * second)) for second in range(60)]
    return Soaked(before=status(), after=after, run=Run(started_at=0, outcomes=tuple(ends)), samples=samples)


def test_a_slope_is_that_of_the_line_through_the_points() -> None:
    assert slope([(float(x), 3.0 * x + 7) for x in range(10)]) == pytest.approx(3)
    assert slope([(0, 1), (1, 3), (2, 2)]) == pytest.approx(0.5)
    assert slope([]) == slope([(1, 1)]) == slope([(1, 1), (1, 2)]) == 0


def test_a_server_that_is_as_before_misses_nothing() -> None:
    figures = figures_of(soaked(status(mb=101)), CONFIG)
    assert missed_bars(figures, CONFIG) == []
    assert figures["cancelled"] == 2 and figures["rss_mb_second_half"] == 0


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        (soaked(status(tasks=6)), "tasks_left = 1, at most 0"),
        (soaked(status(files=23)), "files_left = 3, at most 2"),
        (soaked(status(places=1)), "slots_left = 1, at most 0"),
        (soaked(status(), growth_mb_per_s=0.1), "rss_mb_second_half = 2.9, at most 2.0"),
        (soaked(status(), codes=("CANCELLED",)), "cancelled = 1, at least 2"),
        (soaked(status(), codes=("CANCELLED", "CANCELLED", "INTERNAL")), "failed = 1, at most 0"),
    ],
)
def test_whatever_is_left_behind_is_named(seen: Soaked, problem: str) -> None:
    assert missed_bars(figures_of(seen, CONFIG), CONFIG) == [problem]


def test_the_course_is_thinned_out_and_keeps_its_length() -> None:
    samples = [(7.0 + second, status(mb=second)) for second in range(1000)]
    course = course_of(samples)
    assert 60 < len(course) <= 120 and course[0]["at_s"] == 0 and course[-1]["at_s"] >= 990
    assert all(point["resident_mb"] == point["at_s"] for point in course)
    assert len(course_of(samples[:50])) == 50 and course_of([]) == []


@pytest.mark.skipif(not can_plot(), reason="needs matplotlib")
def test_a_plot_is_a_png(tmp_path: Path) -> None:
    save_plot(status(), [(float(second), status(tasks=second)) for second in range(30)], tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


def test_minutes_are_as_many_as_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[SoakConfig] = []
    monkeypatch.setattr(soak_script, "soak", lambda config: asked.append(config) or soaked(status(tasks=9)))
    monkeypatch.setattr(soak_script, "RESULTS_DIR", tmp_path)
    monkeypatch.setattr(soak_script, "finish", lambda name, args, figures: print(sorted(figures)))
    monkeypatch.setattr("sys.argv", ["soak", "--minutes", "30", "--cancels", "2", "--simulated"])
    assert soak_script.main() == 1
    assert (asked[0].seconds, asked[0].num_cancels) == (1800, 2)
    said = capsys.readouterr()
    assert "missed: tasks_left = 4, at most 0" in said.err and "'course'" in said.out
    assert (tmp_path / "soak.png").exists() == can_plot()


@pytest.mark.slow
def test_after_a_storm_of_cancels_nothing_is_left() -> None:
    costs = CostModel(encode_ms=5, encode_ms_per_token=0, step_ms=5, step_ms_per_token=0, num_steps=8)
    config = SoakConfig(served=ServedConfig(costs=costs), seconds=3, num_cancels=100, warm_s=1)
    figures = figures_of(soak(config), config)
    assert isinstance(figures["cancelled"], int) and figures["cancelled"] > 30
    left = {name: figures[name] for name in ("failed", "tasks_left", "slots_left")}
    assert left == {"failed": 0, "tasks_left": 0, "slots_left": 0}
