"""The server in its process: it answers, tells what it did, and goes."""

import os
from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.server import Served, ServedConfig, read_costs
from qdts.service.client import Client

FAST = CostModel(encode_ms=1, encode_ms_per_token=0, step_ms=1, step_ms_per_token=0, num_steps=3)
TEXT = "The lighthouse was built in 1874. Its lamp could be seen from afar."


def test_it_answers_by_the_simulated_model_and_tells_its_steps() -> None:
    with Served(ServedConfig(costs=FAST)) as served, Client(served.url) as client:
        reply = client.summarize("When was it built? #5", TEXT, timeout_s=20)
        assert (reply.rung, reply.summary) == ("full", "The lighthouse was built in 1874.")
        assert reply.model_version == "simulated@1" and reply.tokens.decode_steps == 3
        assert [step.numbers for step in served.take_steps()] == [(5,)] * 3
        assert served.take_steps() == []
        assert served.value("qdts_replies_total", rung="full") == served.value("qdts_replies_total") == 1
        assert served.value("qdts_replies_total", rung="lead") == served.value("qdts_nothing") == 0
        status, pid = served.status(), served.pid
        assert status.num_open == 0 and status.resident_mb > 10 and status.num_files > 3 and status.num_tasks > 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_bad_setting_is_found_before_a_process_is_started() -> None:
    with pytest.raises(ConfigError, match="unknown setting engine.max_bach"):
        Served(ServedConfig(settings={"engine.max_bach": 3}))


def test_costs_are_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "costs.toml"
    path.write_text("step_ms = 7.5\nnum_steps = 3\n", encoding="utf-8")
    assert read_costs(path) == CostModel(step_ms=7.5, num_steps=3)
    path.write_text("steps = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="steps"):
        read_costs(path)
