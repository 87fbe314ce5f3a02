"""The measurement of faults, at small scale: it asks Redis, breaks it, and counts what it says it counts."""

import json
import os
from typing import Any

import pytest

from qdts.loadtest import faults, shared_misses
from qdts.loadtest.fault_bars import AT_MOST, problems
from qdts.loadtest.faults import measure
from qdts.loadtest.redis_server import find_redis_server

pytestmark = pytest.mark.skipif(
    find_redis_server() is None and not os.environ.get("QDTS_REQUIRE_REDIS"), reason="redis-server is not on PATH"
)


async def test_two_faults_under_load_fail_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that reads in a moment: callers who come later find what it wrote."""
    monkeypatch.setattr(shared_misses, "READ_S", 0.1)
    figures: Any = await measure(seconds=0.5, num_misses=100, faults=["none", "killed"])
    assert figures["failed_rpcs"] == 0 and list(figures["by_fault"]) == ["none", "killed"]
    assert figures["by_fault"]["none"]["redis_calls"] > 0
    assert figures["by_fault"]["none"]["request_added_ms_max"] > 0
    killed = figures["by_fault"]["killed"]
    assert killed["redis_calls"] > 0 and killed["breaker_opened"] >= 1
    assert killed["breaker_closed_after_s"] is not None
    assert list(problems("killed", killed)) == []
    assert figures["model_calls_for_1000_misses"] == 1
    assert figures["model_calls_for_1000_misses_on_two_servers"] <= 2
    assert figures["model_calls_for_1000_misses_on_two_processes"] in (1, 2)
    for place in ("", "_on_two_servers", "_on_two_processes"):
        assert figures[f"model_calls_for_1000_misses{place}_by_default_settings"] >= 1
    assert figures["stale_hits_after_version_change"] == 0


@pytest.mark.parametrize(
    ("failed", "is_reliable", "status"), [(0, True, 0), (0, False, 0), (2, True, 1), (2, False, 3)]
)
def test_script_says_what_was_missed_and_whether_that_says_anything(
    failed: int, is_reliable: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    row = {"whole_after_s": 1.0, "late": 0}

    async def measured(**asked_for: Any) -> dict[str, object]:
        asked.append(asked_for)
        return {**AT_MOST, "failed_rpcs": failed, "by_fault": {"hot_swap": row}, "is_reliable": is_reliable}

    monkeypatch.setattr(faults, "measure", measured)
    monkeypatch.setattr("sys.argv", ["faults", "--quick", "--json"])
    assert faults.main() == status
    assert asked == [{"seconds": 2.0, "trial": faults.QUICK_TRIAL}]
    said = capsys.readouterr()
    assert json.loads(said.out.splitlines()[-1])["missed"] == (["failed_rpcs = 2, at most 0"] if failed else [])
    assert ("missed: failed_rpcs" in said.err) == bool(failed)
