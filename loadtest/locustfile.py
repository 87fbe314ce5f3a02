# pyright: reportMissingImports=false, reportMissingModuleSource=false
# Locust is an extra; the types of what it brings are not there without it.
"""Locust against a running server, in open-loop form: a user is a source of requests, not someone who waits for them.

    locust -f loadtest/locustfile.py --headless --host localhost:50051 --qps 50 --seconds 30 --deadline-ms 500

Every user sends on average one request per second by a Poisson process of its own, each in its own greenlet; so many
users are a Poisson process of so many requests per second, also when they are spread over workers. Waiting between
tasks, even with constant_throughput, would be a closed loop: a user that waits for an answer sends nothing
meanwhile. Response times count from the moment a request was to be sent. What could not be sent, because too many
of a user's requests were in flight, is a failure named "unsent".

QDTS_SHAPE chooses the load over time: steady (default), step, spike, ten_fold; QDTS_METHODS the calls: Summarize,
StreamSummarize or both (default). Locust ends with status 1 if the requests that failed, or their 99th percentile, are
above --max-fail-ratio and the deadline, and with 3 if that is so while requests were not sent at their time: then this
machine was too busy, and nothing is said of the server.
"""

import os
from typing import Any

from locust import events
from locust.runners import WorkerRunner

from qdts.errors import ConfigError
from qdts.loadtest.locust_shapes import SHAPES
from qdts.loadtest.locust_source import Source
from qdts.loadtest.locust_verdict import judge
from qdts.service.commands import connection
from qdts.v1 import summarization_pb2 as pb


class UnarySource(Source):
    """Summarize."""

    weight = 3

    def call(self, message: pb.SummarizeRequest, timeout_s: float) -> None:
        """Send one request and read its answer."""
        self.stub.Summarize(message, timeout=timeout_s, metadata=self.metadata)


class StreamingSource(Source):
    """StreamSummarize, read to its end."""

    weight = 1

    def call(self, message: pb.SummarizeRequest, timeout_s: float) -> None:
        """Send one request and read its answer."""
        wrapped = pb.StreamSummarizeRequest(request=message)
        for _ in self.stub.StreamSummarize(wrapped, timeout=timeout_s, metadata=self.metadata):
            pass


class Shape(SHAPES[os.environ.get("QDTS_SHAPE", "steady")]):
    """The load over time that QDTS_SHAPE names."""


# Locust takes every class of users that it finds here.
_METHODS = os.environ.get("QDTS_METHODS", "both")
if _METHODS == "Summarize":
    del StreamingSource
elif _METHODS == "StreamSummarize":
    del UnarySource


@events.init_command_line_parser.add_listener
def add_flags(parser: Any) -> None:
    """Called by Locust."""
    parser.add_argument("--qps", type=float, default=10.0, help="requests per second at 1x")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the whole run")
    parser.add_argument("--deadline-ms", type=float, default=1000.0, help="of each request, and the bar for p99")
    parser.add_argument("--max-fail-ratio", type=float, default=0.01, help="share of requests that may fail")
    parser.add_argument("--cache", choices=("default", "only_fresh", "refresh", "bypass"), default="bypass")
    connection.add_flags(parser)


@events.init.add_listener
def check_flags(environment: Any, **_: Any) -> None:
    """Called by Locust before any user is there: what does not fit together is said once."""
    try:
        connection.read_client(environment.parsed_options)
    except ConfigError as fault:
        raise SystemExit(f"qdts: {fault}") from None


@events.report_to_master.add_listener
def tell_lags(data: dict[str, Any], **_: Any) -> None:
    """Called by Locust in a worker, before it reports."""
    data["lags_s"], Source.lags_s = Source.lags_s, []


@events.worker_report.add_listener
def hear_lags(data: dict[str, Any], **_: Any) -> None:
    """Called by Locust in the master, for each report."""
    Source.lags_s += data.get("lags_s", [])


@events.quitting.add_listener
def tell_verdict(environment: Any, **_: Any) -> None:
    """Called by Locust at its end: what the exit status is. The master judges for its workers."""
    if isinstance(environment.runner, WorkerRunner):
        return
    verdict = judge(environment.stats, Source.lags_s, environment.parsed_options)
    print(f"qdts: {verdict}")
    environment.process_exit_code = verdict.status
