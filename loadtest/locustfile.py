# pyright: reportMissingImports=false, reportMissingModuleSource=false
# Locust is an extra; the types of what it brings are not there without it.
"""Locust against a running server, in open-loop form: a user is a source of requests, not someone who waits for them.

    locust -f loadtest/locustfile.py --headless --host localhost:50051 --qps 50 --seconds 30 --deadline-ms 500

Every user sends on average one request per second by a Poisson process of its own, each in its own greenlet; so many
users are a Poisson process of so many requests per second, also when they are spread over workers. Waiting between
tasks, even with constant_throughput, would be a closed loop: a user that waits for an answer sends nothing
meanwhile. Response times count from the moment a request was to be sent. What could not be sent, because too many
of a user's requests were in flight, is a failure named "unsent".

QDTS_SHAPE chooses the load over time: steady (default), step, spike, ten_fold. Locust ends with status 1 if the
requests that failed, or their 99th percentile, are above --max-fail-ratio and the deadline.
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
from locust import LoadTestShape, User, constant, events, task  # noqa: E402

from qdts.models.evaluation.samples import load_row_file  # noqa: E402
from qdts.service.bench.workload import RequestClass, Workload  # noqa: E402
from qdts.service.client.config import channel_options  # noqa: E402
from qdts.service.client.messages import to_proto  # noqa: E402
from qdts.v1 import summarization_pb2 as pb  # noqa: E402
from qdts.v1.summarization_pb2_grpc import SummarizationServiceStub  # noqa: E402

RATE_PER_USER = 1.0
MAX_IN_FLIGHT = 100  # of one user
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
                    self._report(f"{method} first message", None, 0)
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

    def on_start(self) -> None:
        """Called by Locust."""
        options = self.environment.parsed_options
        Source.num_seen += 1
        self.random = Random(f"{os.getpid()}-{Source.num_seen}")
        self.deadline_s = options.deadline_ms / 1000
        self.workload = Workload(
            load_row_file(), [RequestClass(deadline_ms=options.deadline_ms, cache_policy=options.cache)]
        )
        address = (self.host or "localhost:50051").rpartition("/")[-1]
        # Every user its own connection, as every user of a load balancer would have.
        channel = grpc.insecure_channel(address, (*channel_options(), ("grpc.use_local_subchannel_pool", 1)))
        self.channel = grpc.intercept_channel(channel, ReportingInterceptor(self.environment))
        self.stub: Any = SummarizationServiceStub(self.channel)
        self.in_flight = Pool(MAX_IN_FLIGHT)
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
        self.stub.Summarize(message, timeout=timeout_s)


class StreamingSource(Source):
    """StreamSummarize, read to its end."""

    weight = 1

    def call(self, message: pb.SummarizeRequest, timeout_s: float) -> None:
        """Send one request and read its answer."""
        for _ in self.stub.StreamSummarize(pb.StreamSummarizeRequest(request=message), timeout=timeout_s):
            pass


class TargetQps(LoadTestShape):
    """`multiples` of --qps, each for its share of --seconds: users are requests per second."""

    abstract = True
    multiples: ClassVar[tuple[float, ...]] = (1.0,)

    def tick(self) -> tuple[int, float] | None:
        """Called by Locust every second."""
        options = self.runner.environment.parsed_options if self.runner else None
        if options is None or self.get_run_time() >= options.seconds:
            return None
        place = int(len(self.multiples) * self.get_run_time() / options.seconds)
        num_users = max(1, round(options.qps * self.multiples[place] / RATE_PER_USER))
        return num_users, 10_000.0  # all at once: a ramp would be another load than the one asked for


class Steady(TargetQps):
    """One rate."""


class Step(TargetQps):
    """Up and down again."""

    multiples = (0.8, 1.4, 0.8)


class Spike(TargetQps):
    """Five times the rate, for a moment."""

    multiples = (0.5, 0.5, 5.0, 0.5, 0.5)


class TenFold(TargetQps):
    """Ten times the rate."""

    multiples = (1.0, 10.0)


_SHAPES = {"steady": Steady, "step": Step, "spike": Spike, "ten_fold": TenFold}
_CHOSEN = _SHAPES[os.environ.get("QDTS_SHAPE", "steady")]
# Locust takes the shape that it finds here, and there must be one.
del Steady, Step, Spike, TenFold


class Shape(_CHOSEN):
    """The load over time that QDTS_SHAPE names."""


@events.init_command_line_parser.add_listener
def add_flags(parser: Any) -> None:
    """Called by Locust."""
    parser.add_argument("--qps", type=float, default=10.0, help="requests per second at 1x")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the whole run")
    parser.add_argument("--deadline-ms", type=float, default=1000.0, help="of each request, and the bar for p99")
    parser.add_argument("--max-fail-ratio", type=float, default=0.01, help="share of requests that may fail")
    parser.add_argument("--cache", choices=("default", "only_fresh", "refresh", "bypass"), default="bypass")


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """Called by Locust at its end: what the exit status is."""
    options, total = environment.parsed_options, environment.stats.total
    p99_ms = total.get_response_time_percentile(0.99) or 0.0
    faults = []
    if not total.num_requests:
        faults.append("nothing was sent")
    if total.fail_ratio > options.max_fail_ratio:
        faults.append(f"{total.fail_ratio:.2%} failed, at most {options.max_fail_ratio:.2%}")
    if p99_ms > options.deadline_ms:
        faults.append(f"p99 {p99_ms:.0f} ms, at most {options.deadline_ms:.0f}")
    print(f"qdts: {total.num_requests} requests, p99 {p99_ms:.0f} ms: {'; '.join(faults) or 'passed'}")
    environment.process_exit_code = 1 if faults else 0
