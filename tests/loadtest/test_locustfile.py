"""Locust for some seconds against a real server. In processes of their own: gevent changes the whole interpreter."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from qdts.loadtest.simulation.costs import CostModel
from qdts.loadtest.simulation.server import Served, ServedConfig

# Another environment's Python may have it: Locust's gevent is not everybody's.
PYTHON = sys.executable if find_spec("locust") else os.environ.get("QDTS_LOCUST_PYTHON")
pytestmark = [
    pytest.mark.skipif(PYTHON is None, reason="needs the extra `load`, here or in QDTS_LOCUST_PYTHON"),
    pytest.mark.slow,
]
ROOT = Path(__file__).parents[2]
FAST = CostModel(encode_ms=5, encode_ms_per_token=0, step_ms=2, step_ms_per_token=0, num_steps=5)
# So much patience that a busy machine does not run out of it.
PATIENT = ("--deadline-ms", "30000")
TOKEN = "a-token-0123456789"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(ServedConfig(costs=FAST)) as running:
        yield running


def run_locust(host: str, *flags: str, **env: str) -> "subprocess.CompletedProcess[str]":
    command = [str(PYTHON), "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py"), "--headless"]
    options = ["--only-summary", "--host", host, "--qps", "10", "--seconds", "4", *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", **env}
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=180, env=environment)


def num_requests(done: "subprocess.CompletedProcess[str]") -> int:
    assert "Traceback" not in done.stdout + done.stderr
    found = re.search(r"qdts: (\d+) requests", done.stdout)
    assert found is not None, done.stdout + done.stderr
    return int(found[1])


@pytest.mark.parametrize(("shape", "mean_qps"), [("steady", 10), ("step", 10), ("spike", 14), ("ten_fold", 55)])
def test_every_shape_asks_what_it_says_of_a_server_that_keeps_up(served: Served, shape: str, mean_qps: float) -> None:
    """Poisson's spread, and the moment that users take to connect, are within a half and twice."""
    done = run_locust(served.url, *PATIENT, QDTS_SHAPE=shape)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert 0.5 * 4 * mean_qps <= num_requests(done) <= 2 * 4 * mean_qps


@pytest.mark.parametrize(
    ("methods", "names"),
    [
        ("both", {"Summarize", "StreamSummarize", "StreamSummarize first message"}),
        ("Summarize", {"Summarize"}),
        ("StreamSummarize", {"StreamSummarize", "StreamSummarize first message"}),
    ],
)
def test_the_calls_are_those_asked_for(served: Served, methods: str, names: set[str]) -> None:
    done = run_locust(served.url, *PATIENT, "--seconds", "2", QDTS_METHODS=methods)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(re.findall(r"^grpc +(\S.*?) {2,}", done.stdout + done.stderr, re.MULTILINE)) == names


def test_a_server_that_is_too_slow_fails(served: Served) -> None:
    """What could not be sent or answered within 2 ms has failed, or was answered too late."""
    done = run_locust(served.url, "--deadline-ms", "2")
    # 3 where this machine was too busy to send in time as well; never 0.
    assert done.returncode in (1, 3), done.stdout + done.stderr
    assert "at most" in done.stdout and "passed" not in done.stdout
    assert num_requests(done) > 0


def test_nobody_there_fails() -> None:
    done = run_locust("127.0.0.1:1", "--deadline-ms", "1000", "--seconds", "2")
    assert done.returncode in (1, 3), done.stdout + done.stderr
    assert "passed" not in done.stdout


def test_tls_and_a_token_let_it_in_and_nothing_else_does(pki: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    files = {"tls.cert_file": "one.pem", "tls.key_file": "one.key", "tls.client_ca_file": "ca.pem"}
    settings = {name: str(pki / file) for name, file in files.items()}
    flags = ["--ca", str(pki / "ca.pem"), "--cert", str(pki / "client.pem"), "--key", str(pki / "client.key")]
    with Served(ServedConfig(costs=FAST, settings={**settings, "auth.tokens": TOKEN})) as secured:
        host = f"localhost:{secured.port}"
        done = run_locust(host, *PATIENT, *flags, "--token-file", str(tmp_path / "token"), "--tenant", "search")
        assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr
        assert TOKEN not in done.stdout + done.stderr
        refused = run_locust(host, *PATIENT, *flags, "--seconds", "2")
        assert refused.returncode in (1, 3) and "UNAUTHENTICATED" in refused.stdout + refused.stderr
    assert run_locust(host, "--cert", "c.pem").returncode not in (0, None)
