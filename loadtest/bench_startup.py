"""What an installation weighs, how fast a server is ready, and how much memory it holds after one request.

Measures the environment whose interpreter runs it: `make sizes` and `make demo` use one that only serves.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO

from qdts.errors import QdtsError
from qdts.loadtest.report import finish, make_parser
from qdts.service.client import Client

READY_TIMEOUT_S = 60.0
DOCUMENT = "The lighthouse was built in 1874 on the northern cape. Keepers lived there until 1981."
QUERY = "When was the lighthouse built?"


def measure_install() -> dict[str, object]:
    """Packages in this environment, installer tools apart, and megabytes of their files."""
    site = Path(sysconfig.get_path("purelib"))
    sizes = {
        str(package.metadata["Name"]): sum(_size(package, file) for file in package.files or ())
        for package in metadata.distributions(path=[str(site)])
        if package.metadata["Name"] not in ("pip", "setuptools")
    }
    largest = sorted(sizes, key=lambda name: -sizes[name])[:5]
    return {
        "packages": len(sizes),
        "megabytes": round(sum(sizes.values()) / 1e6, 1),
        "largest": {name: round(sizes[name] / 1e6, 1) for name in largest},
        "has_torch": "torch" in sizes,
    }


def measure_startup(num_runs: int) -> dict[str, object]:
    """Medians over `num_runs` fresh servers."""
    runs = [measure_server() for _ in range(num_runs)]
    figures: dict[str, object] = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    return {**figures, "ready_s_worst": round(max(run["ready_s"] for run in runs), 3), "runs": num_runs}


def measure_server() -> dict[str, float]:
    """One server: seconds until it says it is ready, the first and second request, memory after them."""
    port = free_port()
    started = time.monotonic()
    with serving(port) as pid, Client(f"127.0.0.1:{port}") as client:
        wait_ready(client, started + READY_TIMEOUT_S)
        ready_s = time.monotonic() - started
        first_ms = timed_request(client, QUERY)
        second_ms = timed_request(client, "Where does the lighthouse stand?")
        rss_mb = resident_mb(pid)
    return {
        "ready_s": ready_s,
        "first_request_ms": first_ms,
        "second_request_ms": second_ms,
        "rss_mb": rss_mb,
    }


@contextmanager
def serving(port: int, *settings: str, stderr: IO[bytes] | None = None) -> Iterator[int]:
    """A server process with the defaults but for `settings` ("section.key=value"); gives its process id.

    Its log goes to `stderr`, or to ours.
    """
    all_settings = ("metrics.enabled=false", "server.drain_delay_s=0", "logging.level=error", *settings)
    flags = [part for setting in all_settings for part in ("--set", setting)]
    command = [sys.executable, "-P", "-m", "qdts.service.cli", "serve", "--port", str(port), *flags]
    with subprocess.Popen(command, stderr=stderr) as server:
        try:
            yield server.pid
        finally:
            server.terminate()


def wait_ready(client: Client, deadline: float) -> None:
    """Wait until the server says that it is ready."""
    while time.monotonic() < deadline:
        try:
            if client.server_info(timeout_s=1.0).ready:
                return
        except QdtsError:
            pass  # not even listening yet
        time.sleep(0.01)
    raise TimeoutError(f"not ready after {READY_TIMEOUT_S:g} s")


def timed_request(client: Client, query: str) -> float:
    """Milliseconds of one request, as its caller sees them."""
    started = time.monotonic()
    client.summarize(query, DOCUMENT, timeout_s=10)
    return (time.monotonic() - started) * 1000


def resident_mb(pid: int) -> float:
    """Resident memory of a process, now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def _size(package: metadata.Distribution, file: metadata.PackagePath) -> int:
    path = Path(str(package.locate_file(file)))
    return path.stat().st_size if path.is_file() else 0


def measure(args: argparse.Namespace) -> dict[str, object]:
    """The figures that were asked for."""
    figures: dict[str, object] = {}
    if args.only in (None, "install"):
        figures |= {f"install_{name}": value for name, value in measure_install().items()}
    if args.only in (None, "server"):
        figures |= measure_startup(num_runs=3 if args.quick else 10)
    return figures


def main() -> int:
    """Measure and report."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--only", choices=("install", "server"), help="leave the other half out; writes no file")
    args = parser.parse_args()
    args.quick = args.quick or args.only is not None  # half a result must not replace a whole one
    finish("startup", args, measure(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
