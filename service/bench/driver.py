"""Sends each arrival at its time and waits for none of them before it sends the next: an open loop.

A slow server therefore cannot slow the load down, and what a stall does to those behind it is seen in full (no
coordinated omission). What cannot be sent is an outcome, too: UNSENT, where as many calls as allowed are in flight,
or where this process came so late that the deadline had passed. Nothing is retried.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import grpc
import grpc.aio

from qdts.errors import Unavailable
from qdts.service.bench.outcome import UNSENT, Outcome
from qdts.service.bench.workload import Arrival
from qdts.service.client.config import ClientConfig, channel_options
from qdts.service.client.faults import FailedCall, error_of, status_of
from qdts.service.client.messages import from_proto, to_proto
from qdts.service.limits import require_between
from qdts.v1 import summarization_pb2 as pb
from qdts.v1.summarization_pb2_grpc import SummarizationServiceStub

# Over all addresses of the URL, those whose health says "serving".
_BALANCED = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "qdts.v1.SummarizationService"},
}

Start = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverConfig:
    """Where to, over how many connections, with at most how many calls in flight of each process."""

    url: str
    num_connections: int = 4  # of each process
    max_in_flight: int = 4000
    # One Python process sends some hundred requests a second.
    num_processes: int = 1
    connect_s: float = 10.0  # for all connections to be there
    # Whether each connection is one to every address of the URL, used in turn, as behind a load balancer.
    is_balanced: bool = False
    client: ClientConfig = field(default_factory=ClientConfig)

    def __post_init__(self) -> None:
        require_between("driver.num_connections", self.num_connections, 1, 1000)
        require_between("driver.num_processes", self.num_processes, 1, 1000)
        require_between("driver.connect_s", self.connect_s, 0.001, 3600)
        require_between("driver.max_in_flight", self.max_in_flight, 1, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of all arrivals, in their order; `started_at` is time.monotonic() at second 0."""

    started_at: float
    outcomes: tuple[Outcome, ...]


async def drive(arrivals: Sequence[Arrival], config: DriverConfig, start: Start | None = None) -> Run:
    """Send and wait for all ends. Unavailable if the server cannot be reached at the start.

    `start` is awaited once connections are there, and says when second 0 is; without it, that is then.
    """
    channels = [_open(config) for _ in range(config.num_connections)]
    try:
        await _wait_connected(channels, config)
        started_at = time.monotonic() if start is None else await start()
        return await _Driver(channels, config, started_at).run(arrivals)
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


class _Driver:
    """One run."""

    def __init__(self, channels: Sequence[grpc.aio.Channel], config: DriverConfig, started_at: float) -> None:
        self._stubs = itertools.cycle([cast(Any, SummarizationServiceStub(channel)) for channel in channels])
        self._config = config
        self._started_at = started_at
        self._num_in_flight = 0
        self._outcomes: list[Outcome] = []

    async def run(self, arrivals: Sequence[Arrival]) -> Run:
        """Send each at its time."""
        async with asyncio.TaskGroup() as calls:
            for arrival in arrivals:
                await self._wait_until(arrival.at_s)
                if self._has_room(arrival):
                    self._num_in_flight += 1
                    calls.create_task(self._call(arrival))
                else:
                    self._outcomes.append(self._ended(arrival, self._now_s(), code=UNSENT))
        outcomes = sorted(self._outcomes, key=lambda outcome: outcome.number)
        return Run(started_at=self._started_at, outcomes=tuple(outcomes))

    async def _wait_until(self, at_s: float) -> None:
        # Where it is late already, the calls in flight are not waited for: but they may go on.
        await asyncio.sleep(max(0.0, at_s - self._now_s()))

    def _has_room(self, arrival: Arrival) -> bool:
        is_in_time = self._now_s() < arrival.at_s + arrival.kind.deadline_s
        return is_in_time and self._num_in_flight < self._config.max_in_flight

    async def _call(self, arrival: Arrival) -> None:
        sent_s = self._now_s()
        try:
            self._outcomes.append(await self._outcome(arrival, sent_s))
        finally:
            self._num_in_flight -= 1

    async def _outcome(self, arrival: Arrival, sent_s: float) -> Outcome:
        timeout_s = arrival.at_s + arrival.kind.deadline_s - sent_s
        if timeout_s <= 0:
            return self._ended(arrival, sent_s, code=UNSENT)
        call = self._open_call(arrival, timeout_s)
        try:
            if arrival.kind.is_streaming:
                return await self._read_stream(arrival, sent_s, call)
            return self._answered(arrival, sent_s, await call)
        except grpc.aio.AioRpcError as fault:
            reason = type(error_of(status_of(cast(FailedCall, fault)))).__name__
            return self._ended(arrival, sent_s, code=fault.code().name, reason=reason)
        except asyncio.CancelledError:
            if not call.cancelled():
                raise  # it is this task that was cancelled, not the call
            return self._ended(arrival, sent_s, code="CANCELLED")

    def _open_call(self, arrival: Arrival, timeout_s: float) -> Any:
        """The call, and when its caller will leave, if it is one that does."""
        stub = next(self._stubs)
        message, metadata = to_proto(arrival.request), self._config.client.metadata
        if arrival.kind.is_streaming:
            wrapped = pb.StreamSummarizeRequest(request=message)
            call = stub.StreamSummarize(wrapped, timeout=timeout_s, metadata=metadata)
        else:
            call = stub.Summarize(message, timeout=timeout_s, metadata=metadata)
        if arrival.cancel_after_s is not None:
            delay_s = max(0.0, arrival.at_s + arrival.cancel_after_s - self._now_s())
            asyncio.get_running_loop().call_later(delay_s, call.cancel)  # changes nothing when it is done
        return call

    async def _read_stream(self, arrival: Arrival, sent_s: float, call: Any) -> Outcome:
        first_text_s: float | None = None
        answered: Outcome | None = None
        async for event in call:
            if event.HasField("text_delta"):
                first_text_s = first_text_s or self._now_s()
            else:
                answered = self._answered(arrival, sent_s, event.response)
            await asyncio.sleep(arrival.kind.read_delay_ms / 1000)
        if answered is None:
            return self._ended(arrival, sent_s, code="UNKNOWN", reason="NoResponse")
        return replace(answered, first_text_s=first_text_s)

    def _answered(self, arrival: Arrival, sent_s: float, message: pb.SummarizeResponse) -> Outcome:
        reply = from_proto(message)
        return replace(
            self._ended(arrival, sent_s, code="OK"),
            rung=reply.rung,
            origin_rung=reply.origin_rung,
            degrade_reasons=reply.degrade_reasons,
            cache_status=reply.cache_status,
        )

    def _ended(self, arrival: Arrival, sent_s: float, *, code: str, reason: str = "") -> Outcome:
        """An end, now."""
        return Outcome(
            number=arrival.number,
            kind=arrival.kind.name,
            planned_s=arrival.at_s,
            sent_s=sent_s,
            ended_s=self._now_s(),
            deadline_s=arrival.kind.deadline_s,
            code=code,
            reason=reason,
        )

    def _now_s(self) -> float:
        return time.monotonic() - self._started_at


def _open(config: DriverConfig) -> grpc.aio.Channel:
    # Without a pool of its own, channels to one address share one connection.
    options = (*channel_options(), ("grpc.use_local_subchannel_pool", 1))
    if config.is_balanced:
        options = (*options, ("grpc.service_config", json.dumps(_BALANCED)))
    if config.client.tls is None:
        return grpc.aio.insecure_channel(config.url, options)
    return grpc.aio.secure_channel(config.url, config.client.tls.credentials(), options)


async def _wait_connected(channels: Sequence[grpc.aio.Channel], config: DriverConfig) -> None:
    try:
        async with asyncio.timeout(config.connect_s):
            await asyncio.gather(*(channel.channel_ready() for channel in channels))
    except TimeoutError:
        raise Unavailable(f"no server at {config.url} within {config.connect_s:g} s") from None
