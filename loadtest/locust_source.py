# pyright: reportMissingImports=false, reportMissingModuleSource=false
# Locust is an extra; the types of what it brings are not there without it.
"""A Locust user that is a source of requests, each sent at its time and in a greenlet of its own."""

import os
import time
from random import Random
from typing import Any, ClassVar

import grpc
import grpc.experimental.gevent as grpc_gevent

# Before any channel: gRPC's core would otherwise block all greenlets at once.
grpc_gevent.init_gevent()

import gevent  # noqa: E402
from gevent.pool import Pool  # noqa: E402
from locust import User, constant, task  # noqa: E402

from qdts.loadtest.locust_reporting import INTENDED_AT, ReportingInterceptor  # noqa: E402
from qdts.loadtest.locust_shapes import RATE_PER_USER  # noqa: E402
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
