"""Processes that end under load, each way for a moment: what the figures tell is what was done."""

import pytest

from qdts.loadtest.process_faults import suffer_all
from qdts.loadtest.process_trial import TrialConfig

TRIAL = TrialConfig(seconds=2.5, before_s=0.5, rate_per_s=40.0, num_connections=4)


@pytest.mark.slow
async def test_engine_and_front_that_are_killed_come_back_and_no_other_call_fails() -> None:
    by_name = await suffer_all(["engine_killed", "front_killed"], TRIAL)
    assert list(by_name) == ["engine_killed", "front_killed"]
    for figures in by_name.values():
        assert figures["failed_rpcs"] == 0, figures
        assert isinstance(requests := figures["requests"], int) and requests > 50
        assert isinstance(whole_s := figures["whole_after_s"], float) and whole_s > 0.4  # its restart waits 0.5 s
    engine, front = by_name["engine_killed"], by_name["front_killed"]
    assert isinstance(away_s := engine["model_back_after_s"], float) and away_s > 0.2
    assert "lost_in_flight" not in engine
    assert isinstance(lost := front["lost_in_flight"], int) and isinstance(there := front["in_flight_there"], int)
    assert lost <= there
