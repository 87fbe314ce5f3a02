"""Locust for some seconds against a real server. In processes of their own: gevent changes the whole interpreter."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.server import Served, ServedConfig

pytestmark = [
    pytest.mark.skipif(find_spec("locust") is None, reason="needs the extra `load`"),
    pytest.mark.slow,
]
LOCUSTFILE = Path(__file__).parents[2] / "loadtest" / "locustfile.py"
FAST = CostModel(encode_ms=5, encode_ms_per_token=0, step_ms=2, step_ms_per_token=0, num_steps=5)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(ServedConfig(costs=FAST)) as running:
        yield running


def run_locust(served: Served, *flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
    options = ["--host", served.url, "--qps", "10", "--seconds", "4", *flags]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)


def test_a_server_that_keeps_up_passes(served: Served) -> None:
    done = run_locust(served, "--deadline-ms", "10000")
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout + done.stderr
    assert "passed" in printed and "Traceback" not in printed
    for name in ("Summarize", "StreamSummarize", "StreamSummarize first message"):
        assert f" {name} " in printed


def test_a_server_that_is_too_slow_fails(served: Served) -> None:
    """What could not be sent or answered within 2 ms has failed, or was answered too late."""
    done = run_locust(served, "--deadline-ms", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "at most" in done.stdout and "passed" not in done.stdout
