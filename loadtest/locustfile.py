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
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from random import Random
from typing import Any, ClassVar

import grpc
import grpc.experimental.gevent as grpc_gevent

# Before any channel: gRPC's core would otherwise block all greenlets at once.
grpc_gevent.init_gevent()

import gevent  # noqa: E402
from gevent.pool import Pool  # noqa: E402
from locust import User, constant, events, task  # noqa: E402
from locust.runners import WorkerRunner  # noqa: E402

from qdts.errors import ConfigError  # noqa: E402
from qdts.loadtest.locust_shapes import RATE_PER_USER, SHAPES  # noqa: E402
from qdts.loadtest.locust_verdict import FIRST_MESSAGE, judge  # noqa: E402
from qdts.models.evaluation.samples import load_row_file  # noqa: E402
from qdts.service.bench.workload import RequestClass, Workload  # noqa: E402
from qdts.service.client.config import channel_options  # noqa: E402
from qdts.service.client.messages import to_proto  # noqa: E402
from qdts.service.commands import connection  # noqa: E402
from qdts.v1 import summarization_pb2 as pb  # noqa: E402
from qdts.v1.summarization_pb2_grpc import SummarizationServiceStub  # noqa: E402

MAX_IN_FLIGHT = 100  # of one user
# Read once: a spike of users must not read files while it is to send.
ROWS = load_row_file()
# When the request that this greenlet sends was to be sent (time.monotonic()).
INTENDED_AT: ContextVar[float] = ContextVar("intended_at")


class ReportingInterceptor(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Fires events.request for every call, when it has ended."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment

    def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        """Called by gRPC."""
        call = continuation(client_call_details, request)
        self._report(client_call_details.method, call.exception(), _size(call))
        return call

    def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Iterator[Any]:
        """Called by gRPC."""
        return self._read(continuation(client_call_details, request), client_call_details.method)

    def _read(self, call: Any, method: str) -> Iterator[Any]:
        num_bytes, error = 0, None
        try:
            for message in call:
                if not num_bytes:
                    self._report(f"{method} {FIRST_MESSAGE}", None, 0)
                num_bytes += message.ByteSize()
                yield message
        except grpc.RpcError as fault:
            error = fault
            raise
        finally:
            self._report(method, error, num_bytes)

    def _report(self, method: str, error: BaseException | None, num_bytes: int) -> None:
        self._environment.events.request.fire(
            request_type="grpc",
            name=method.rpartition("/")[-1] if isinstance(method, str) else method.decode().rpartition("/")[-1],
            response_time=1000 * (time.monotonic() - INTENDED_AT.get()),
            response_length=num_bytes,
            exception=error,
            context={},
        )


def _size(call: Any) -> int:
    return call.result().ByteSize() if call.exception() is None else 0


class Source(User):
    """Sends requests at their times, whatever becomes of those before; subclasses say how one is sent."""

    abstract = True
    wait_time = constant(0)
    num_seen: ClassVar[int] = 0
    lags_s: ClassVar[list[float]] = []  # of all users of this process: how much later than intended they sent

    def on_start(self) -> None:
        """Called by Locust."""
        options = self.environment.parsed_options
        Source.num_seen += 1
        self.random = Random(f"{os.getpid()}-{Source.num_seen}")
        self.deadline_s = options.deadline_ms / 1000
        kind = RequestClass(deadline_ms=options.deadline_ms, cache_policy=options.cache)
        self.workload = Workload(ROWS, [kind])
        self.metadata = connection.read_client(options).metadata
        self.channel = _open((self.host or "localhost:50051").rpartition("/")[-1], options)
        intercepted = grpc.intercept_channel(self.channel, ReportingInterceptor(self.environment))
        self.stub: Any = SummarizationServiceStub(intercepted)
        self.in_flight = Pool(MAX_IN_FLIGHT)
        _wait_connected(self.channel, self.deadline_s)
        self.next_at = time.monotonic()

    def on_stop(self) -> None:
        """Called by Locust."""
        self.in_flight.join(timeout=self.deadline_s)
        self.channel.close()

    @task
    def arrive(self) -> None:
        """Wait for the next arrival's time and send it; where the machine is too busy, at once, and counted as late."""
        self.next_at += self.random.expovariate(RATE_PER_USER)
        gevent.sleep(max(0.0, self.next_at - time.monotonic()))
        if self.in_flight.full():
            self._skip(self.next_at)
        else:
            self.in_flight.spawn(self._send, self.next_at)

    def _send(self, intended_at: float) -> None:
        INTENDED_AT.set(intended_at)
        Source.lags_s.append(time.monotonic() - intended_at)
        [arrival] = self.workload.arrivals([0.0], seed=self.random.randrange(1 << 30))
        left_s = intended_at + self.deadline_s - time.monotonic()
        if left_s <= 0:
            self._skip(intended_at)
            return
        try:
            self.call(to_proto(arrival.request), left_s)
        except grpc.RpcError:
            pass  # the interceptor has told Locust

    def _skip(self, intended_at: float) -> None:
        took_ms = 1000 * (time.monotonic() - intended_at)
        fault = RuntimeError("not sent: too late, or too many in flight")
        self.environment.events.request.fire(
            request_type="grpc", name="unsent", response_time=took_ms, response_length=0, exception=fault, context={}
        )

    def call(self, message: pb.SummarizeRequest, timeout_s: float) -> None:
        """Send one request and read its answer."""
        raise NotImplementedError


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


def _open(address: str, options: Any) -> Any:
    """A connection of its own for every user, as every user of a load balancer would have."""
    pooled = (*channel_options(), ("grpc.use_local_subchannel_pool", 1))
    tls = connection.read_client(options).tls
    if tls is None:
        return grpc.insecure_channel(address, pooled)
    return grpc.secure_channel(address, tls.credentials(), pooled)


def _wait_connected(channel: Any, timeout_s: float) -> None:
    """Connecting is not the first request's time. Nobody there is the requests' failure, not this user's."""
    try:
        grpc.channel_ready_future(channel).result(timeout=timeout_s)
    except grpc.FutureTimeoutError:
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
