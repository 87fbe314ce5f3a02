"""The client for asyncio: the calls of sync.py, awaited. One instance serves all tasks of one loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar, Unpack, cast

import grpc
import grpc.aio

from qdts.errors import QdtsError
from qdts.models.document import Document
from qdts.service.client.config import ClientConfig, channel_options, check_timeout
from qdts.service.client.faults import FailedCall, error_of, failure_of, status_of
from qdts.service.client.messages import (
    Options,
    Reply,
    Request,
    ServerInfo,
    from_batch,
    from_info,
    from_proto,
    make_request,
    to_batch,
)
from qdts.service.client.retry import Attempts, RetryBudget
from qdts.service.client.throttle import Throttle
from qdts.v1 import summarization_pb2 as pb
from qdts.v1.summarization_pb2_grpc import SummarizationServiceStub

R = TypeVar("R")
Seconds = float | None


class AsyncClient:
    """Calls one server. Every call has a deadline; every error is a class of qdts.errors."""

    def __init__(self, url: str, config: ClientConfig | None = None) -> None:
        self._config = config or ClientConfig()
        self._channel = _open(url, self._config)
        self._stub = SummarizationServiceStub(self._channel)
        self._budget = RetryBudget(self._config.retry)
        self._throttle = Throttle(self._config.throttle_ratio, clock=time.monotonic)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; calls in flight fail."""
        await self._channel.close()

    async def summarize(
        self, query: str, document: Document | str, *, timeout_s: Seconds = None, **options: Unpack[Options]
    ) -> Reply:
        """One document, one query, one summary."""
        request = make_request(query, document, **options)
        return from_proto(await self._call(self._stub.Summarize, request, timeout_s))

    def summarize_stream(
        self, query: str, document: Document | str, *, timeout_s: Seconds = None, **options: Unpack[Options]
    ) -> AsyncIterator[str | Reply]:
        """Pieces of text as they are written, then exactly one Reply. Never retried: pieces may be shown."""
        request = pb.StreamSummarizeRequest(request=make_request(query, document, **options))
        timeout_s = self._timeout(timeout_s)
        self._throttle.enter()
        return self._events(self._stub.StreamSummarize(request, timeout=timeout_s, metadata=self._config.metadata))

    async def batch(self, requests: Sequence[Request], *, timeout_s: Seconds = None) -> list[Reply | QdtsError]:
        """One result per request, in order: a bad item has its error in its place and harms no other."""
        return from_batch(await self._call(self._stub.BatchSummarize, to_batch(requests), timeout_s))

    async def server_info(self, *, timeout_s: Seconds = None) -> ServerInfo:
        """What the server is and which bounds it enforces."""
        return from_info(await self._call(self._stub.GetServerInfo, pb.GetServerInfoRequest(), timeout_s))

    async def _call(self, method: Callable[..., Awaitable[R]], request: object, timeout_s: float | None) -> R:
        attempts = Attempts(self._config.retry, self._budget, timeout_s=self._timeout(timeout_s), clock=time.monotonic)
        with self._throttle.sending() as sent:
            while True:
                try:
                    return await method(request, timeout=attempts.remaining_s(), metadata=self._config.metadata)
                except grpc.aio.AioRpcError as fault:
                    call = cast(FailedCall, fault)
                    failure = failure_of(call)
                    delay_s = attempts.wait_after(failure)
                    if delay_s is None:
                        sent.failure = failure
                        raise error_of(status_of(call)) from fault
                await asyncio.sleep(delay_s)

    async def _events(self, call: Any) -> AsyncIterator[str | Reply]:
        failure = None
        try:
            async for message in call:
                yield message.text_delta if message.HasField("text_delta") else from_proto(message.response)
        except grpc.aio.AioRpcError as fault:
            failure = failure_of(cast(FailedCall, fault))
            raise error_of(status_of(cast(FailedCall, fault))) from fault
        finally:
            self._throttle.leave(failure)
            call.cancel()

    def _timeout(self, timeout_s: float | None) -> float:
        return self._config.timeout_s if timeout_s is None else check_timeout(timeout_s)


def _open(url: str, config: ClientConfig) -> grpc.aio.Channel:
    if config.tls is None:
        return grpc.aio.insecure_channel(url, channel_options())
    return grpc.aio.secure_channel(url, config.tls.credentials(), channel_options())
