"""`qdts bench` against a real server without a model, and the plan from what it wrote."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from qdts.service.cli import MISUSED, main


async def test_a_curve_is_measured_written_and_planned_by(
    serve: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = await serve(None)
    flags = ["--rates", "5,10", "--seconds", "0.5", "--deadline", "10000", "--tier", "fast", "--out", str(tmp_path)]
    assert await asyncio.to_thread(main, ["bench", "--url", server.address, *flags, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "curve.json").read_text(encoding="utf-8"))
    assert [point["rate"] for point in printed["points"]] == [5, 10]
    assert all(point["figures"]["rungs"] for point in printed["points"])
    assert (tmp_path / "curve.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_plan_is_read_off_a_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"offered_qps": 100, "attainment": 1.0, "model_share": 1.0, "accepted": {"p99_ms": 40}}
    (tmp_path / "curve.json").write_text(json.dumps({"points": [{"figures": figures}]}), encoding="utf-8")
    plan = ["bench", "--plan", str(tmp_path / "curve.json"), "--qps", "700", "--slo", "50"]
    assert main(plan) == 0
    assert capsys.readouterr().out.startswith("11 instances for 700 requests/s at p99 <= 50 ms")
    assert main([*plan, "--json", "--spare", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["num_instances"] == 10


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--rates", "1,x"], "--rates 1,x"),
        (["--plan", "curve.json"], "needs --qps and --slo"),
        (["--rates", "1", "--seconds", "0"], "bench.seconds"),
        (["--rows", "nowhere.jsonl", "--rates", "1"], "nowhere.jsonl"),
    ],
)
def test_nonsense_is_refused_in_a_line(flags: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *flags]) == MISUSED
    assert problem in capsys.readouterr().err
