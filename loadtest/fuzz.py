"""Requests that nobody should send, a million of them: does anything crash, hang, or answer INTERNAL?

Most go straight to the handlers, interceptor included, in this process; a share goes over the wire to a server with the
shipped model, with deadlines of a few milliseconds and calls that are given up; another to the operators' port of a
server of its own, with the right token, a wrong one and none, Drain left out; some open connections to both and speak
broken HTTP/2. Ends with status 1 if anything was found. Needs hypothesis, which [dev] brings.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from typing import cast

from qdts.loadtest.bench_startup import READY_TIMEOUT_S, free_port, serving, wait_ready
from qdts.loadtest.fuzzing import operators
from qdts.loadtest.fuzzing.connections import fuzz_connections, opening_of
from qdts.loadtest.fuzzing.findings import Findings
from qdts.loadtest.fuzzing.handlers import fuzz_handlers
from qdts.loadtest.fuzzing.mutations import SERVICE, draw, make_corpus, mutate
from qdts.loadtest.fuzzing.wire import fuzz_wire
from qdts.loadtest.report import finish, make_parser
from qdts.service import logs
from qdts.service.client import Client

# Of the time. What starting servers takes comes on top.
HANDLER_SHARE, WIRE_SHARE, OPERATORS_SHARE, CONNECTIONS_SHARE = 0.5, 0.25, 0.15, 0.05
# How much of a server's log is shown where it has crashed or answered INTERNAL.
NUM_LAST_LINES = 20


@dataclass(kw_only=True)
class Run:
    """What each way of sending has found, and connections opened."""

    seed: int
    seconds: float
    inside: Findings = field(default_factory=Findings)
    wire: Findings = field(default_factory=Findings)
    operators: Findings = field(default_factory=Findings)
    num_connections: int = 0

    def fuzz_inside(self, corpus: list[bytes]) -> None:
        """The handlers."""
        with _quiet():
            asyncio.run(fuzz_handlers(self.inside, corpus, seed=self.seed, seconds=HANDLER_SHARE * self.seconds))

    def fuzz_public(self, corpus: list[bytes]) -> None:
        """The public port of a server with the shipped model."""
        port = free_port()
        with serving(port):
            _wait_ready(port)
            asyncio.run(fuzz_wire(self.wire, corpus, port, seed=self.seed + 1, seconds=WIRE_SHARE * self.seconds))
            self._connect(self.wire, opening_of(SERVICE + "Summarize"), partial(mutate, corpus=corpus), port)

    def fuzz_operators(self, corpus: list[bytes]) -> None:
        """The operators' port of a server without a model, which swaps it for itself in no time."""
        port, operators_port, token = free_port(), free_port(), secrets.token_urlsafe()
        with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as log:
            token_file = Path(directory) / "tokens"
            token_file.write_text(f"{token}\n", encoding="utf-8")
            models_dir = Path(directory) / "models"
            models_dir.mkdir()
            settings = (
                f"admin.port={operators_port}",
                f"admin.token_file={token_file}",
                f"admin.models_dir={models_dir}",
                "engine.model=none",
            )
            with serving(port, *settings, stderr=log):
                _wait_ready(port)
                seconds = OPERATORS_SHARE * self.seconds
                asyncio.run(
                    operators.fuzz_operators(
                        self.operators, corpus, operators_port, token=token, seed=self.seed + 2, seconds=seconds
                    )
                )
                message = partial(operators.make_message, corpus=corpus)
                self._connect(self.operators, operators.opening(token), message, operators_port)
            if self.operators.crashes or self.operators.num_internal:
                log.seek(0)
                sys.stderr.buffer.writelines(log.readlines()[-NUM_LAST_LINES:])

    def _connect(self, findings: Findings, opening: bytes, payload: "partial[bytes]", port: int) -> None:
        seconds = CONNECTIONS_SHARE * self.seconds
        self.num_connections += fuzz_connections(findings, opening, payload, port, seed=self.seed + 3, seconds=seconds)


@contextmanager
def _quiet() -> Iterator[None]:
    """Logs of the handlers are not written: a million lines say nothing."""
    logs.configure("error")
    with redirect_stderr(StringIO()):
        yield


def _wait_ready(port: int) -> None:
    with Client(f"127.0.0.1:{port}") as client:
        wait_ready(client, time.monotonic() + READY_TIMEOUT_S)


def measure(args: argparse.Namespace) -> dict[str, object]:
    """All of them, one after the other."""
    started_at = time.monotonic()
    corpus = make_corpus(300, args.seed)
    run = Run(seed=args.seed, seconds=60 * args.minutes)
    run.fuzz_inside(corpus)
    run.fuzz_public(corpus)
    run.fuzz_operators(draw(operators.MESSAGES, 100, args.seed))
    each = (run.inside, run.wire, run.operators)
    crashes = [crash for one in each for crash in one.crashes]
    return {
        "requests": sum(one.num_requests for one in each),
        "handler_requests": run.inside.num_requests,
        "wire_requests": run.wire.num_requests,
        "operator_requests": run.operators.num_requests,
        "connections": run.num_connections,
        "crashes": len(crashes),
        "crash_kinds": sorted(set(crashes)),
        "hangs": sum(one.num_hangs for one in each),
        "internal": sum(one.num_internal for one in each),
        "handler_codes": dict(run.inside.by_code.most_common()),
        "wire_codes": dict(run.wire.by_code.most_common()),
        "operator_codes": dict(run.operators.by_code.most_common()),
        "seed": args.seed,
        "minutes": round((time.monotonic() - started_at) / 60, 2),
    }


def main() -> int:
    """The command line."""
    parser = make_parser(cast("str", __doc__).splitlines()[0])
    parser.add_argument("--minutes", type=float, help="how long; default 10, 0.4 with --quick")
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    args.minutes = args.minutes or (0.4 if args.quick else 10.0)
    figures = measure(args)
    finish("fuzz", args, figures)
    return 1 if figures["crashes"] or figures["hangs"] or figures["internal"] else 0


if __name__ == "__main__":
    sys.exit(main())
