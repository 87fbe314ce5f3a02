"""Curves of servicers of known capacity, and what reports make of them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import ConfigError, QdtsError
from qdts.models.evaluation.rows import EvalRow
from qdts.service.bench.curve import Curve, CurveConfig, Point, measure_capacity, measure_curve
from qdts.service.bench.driver import DriverConfig
from qdts.service.bench.figures import describe
from qdts.service.bench.report import can_plot, save_plot, to_html, to_markdown
from qdts.service.bench.workload import RequestClass
from qdts.service.client.config import ClientConfig

ROWS = [EvalRow(id="1", set="made_up", query="What?", title="", document="It says so.", references=("",))]
PATIENT = (RequestClass(deadline_ms=600_000),)


async def test_capacity_is_what_the_servicer_can_do(start: Any) -> None:
    """Four at a time, 0.1 s each: 40 per second; a busy machine may take some off, none can add to it."""
    _, url = await start(takes_s=0.1, width=4)
    config = CurveConfig(driver=DriverConfig(url=url), capacity_seconds=1.05, capacity_width=8)
    capacity_qps = await asyncio.to_thread(measure_capacity, ROWS, config)
    assert 20 <= capacity_qps <= 40


async def test_a_curve_has_a_point_per_rate_in_order(start: Any) -> None:
    _, url = await start(takes_s=0.01)
    seen: list[Point] = []
    config = CurveConfig(driver=DriverConfig(url=url), classes=PATIENT, rates=(40, 20), seconds=0.5)
    curve = await asyncio.to_thread(measure_curve, ROWS, config, seen.append)
    assert [point.rate for point in curve.points] == [20, 40] and list(curve.points) == seen
    assert curve.capacity_qps is None
    for point in curve.points:
        assert point.figures.answered == point.figures.planned > 0


async def test_without_rates_they_are_multiples_of_capacity(start: Any) -> None:
    _, url = await start(takes_s=0.1, width=2)
    config = CurveConfig(
        driver=DriverConfig(url=url), classes=PATIENT, multiples=(0.5, 1), seconds=0.3, capacity_seconds=1
    )
    curve = await asyncio.to_thread(measure_curve, ROWS, config)
    assert curve.capacity_qps is not None
    assert [point.rate for point in curve.points] == [curve.capacity_qps / 2, curve.capacity_qps]


async def test_nobody_there_has_no_capacity(start: Any) -> None:
    driver = DriverConfig(url="127.0.0.1:1", client=ClientConfig(timeout_s=0.5))
    with pytest.raises(QdtsError):
        await asyncio.to_thread(measure_capacity, ROWS, CurveConfig(driver=driver, capacity_seconds=0.5))


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="bench.rate"):
        CurveConfig(driver=DriverConfig(url=""), rates=(0,))


@pytest.fixture
def curve(outcome: Any) -> Curve:
    good = [outcome(n, latency_ms=n) for n in range(1, 51)]
    poor = [outcome(n, latency_ms=20, rung="lead", origin_rung="lead", degrade_reasons=("overloaded",)) for n in (1, 2)]
    poor[1] = outcome(2, latency_ms=20, rung="shorter", origin_rung="shorter", degrade_reasons=("overloaded",))
    shed = [outcome(n, latency_ms=2, code="RESOURCE_EXHAUSTED") for n in range(48)]
    points = (Point(rate=50, figures=describe(good, 1)), Point(rate=100, figures=describe([*good, *poor, *shed], 1)))
    return Curve(capacity_qps=60.0, deadline_ms=100, seconds=1, process="poisson", points=points)


def test_the_table_has_every_figure_in_its_place(curve: Curve) -> None:
    head, _, first, second = to_markdown(curve).splitlines()
    assert head.count("|") == first.count("|") == second.count("|")
    cells = dict(zip(head.split("|"), second.split("|"), strict=True))
    assert cells[" rate/s "].strip() == "100.0" and cells[" any/s "].strip() == "52.0"
    assert cells[" by the model/s "].strip() == "51.0" and cells[" full/s "].strip() == "50.0"
    assert cells[" rejected "].strip() == "48"
    assert cells[" attained "].strip() == "52.0%" and cells[" p99 ms "].strip() == "50.0"


@pytest.mark.skipif(not can_plot(), reason="needs matplotlib")
def test_the_picture_is_a_png_and_the_page_holds_it(curve: Curve, tmp_path: Path) -> None:
    save_plot(curve, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    page = to_html(curve, "a < b")
    assert "data:image/png;base64,iVBOR" in page and "a &lt; b" in page and "<td>52.0%</td>" in page
