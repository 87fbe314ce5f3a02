"""Instances for a load, computed by hand."""

import json
from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.service.bench.planner import Measured, PlanConfig, make_plan, read_curve

CURVE = [
    Measured(offered_qps=50, attainment=1.0, model_share=1.0, p99_ms=40),
    Measured(offered_qps=100, attainment=0.995, model_share=0.97, p99_ms=80),
    Measured(offered_qps=150, attainment=0.97, model_share=0.9, p99_ms=200),
    Measured(offered_qps=200, attainment=1.0, model_share=1.0, p99_ms=10),
]


def test_instances_are_the_load_over_what_one_can_do() -> None:
    plan = make_plan(CURVE, PlanConfig(qps=1000, slo_ms=100, headroom=0.2, num_spare=1))
    assert (plan.sustainable_qps, plan.usable_qps) == (100, 80)
    assert plan.num_instances == 13 + 1, "1000 / 80 = 12.5"


def test_a_load_that_divides_evenly_needs_not_one_more() -> None:
    plan = make_plan(CURVE, PlanConfig(qps=350, slo_ms=100, headroom=0.3, num_spare=0))
    assert plan.num_instances == 5


def test_a_good_point_beyond_a_bad_one_is_luck() -> None:
    assert make_plan(CURVE, PlanConfig(qps=1, slo_ms=500)).sustainable_qps == 100


def test_a_tighter_slo_needs_more() -> None:
    assert make_plan(CURVE, PlanConfig(qps=1000, slo_ms=50, headroom=0, num_spare=0)).num_instances == 20


def test_degraded_answers_do_not_count_as_capacity() -> None:
    lenient = PlanConfig(qps=1, slo_ms=500, min_model_share=0, min_attainment=0.9)
    assert make_plan(CURVE, lenient).sustainable_qps == 200


def test_no_load_that_meets_the_slo_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no measured load meets the SLO of 10 ms"):
        make_plan(CURVE, PlanConfig(qps=1, slo_ms=10))


def test_the_assumptions_name_every_figure_used() -> None:
    text = " ".join(make_plan(CURVE, PlanConfig(qps=1, slo_ms=100, headroom=0.25, num_spare=2)).assumptions)
    for figure in ("100.0 requests/s", "100 ms", "99.0%", "95%", "25%", "2 instance(s)"):
        assert figure in text


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"points": [{}]}', '{"points": 3}'])
def test_what_is_no_curve_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "curve.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="is not a curve"):
        read_curve(path)


def test_a_written_curve_is_read(tmp_path: Path) -> None:
    figures = {"offered_qps": 50, "attainment": 1.0, "model_share": 1.0, "accepted": {"p99_ms": 40}}
    path = tmp_path / "curve.json"
    path.write_text(json.dumps({"points": [{"figures": figures}]}), encoding="utf-8")
    assert read_curve(path) == CURVE[:1]
