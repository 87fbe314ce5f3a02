"""The client for threads. One instance may serve many: the channel and the retry budget are shared."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, Unpack, cast

import grpc

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


class Client:
    """Calls one server. Every call has a deadline; every error is a class of qdts.errors."""

    def __init__(self, url: str, config: ClientConfig | None = None) -> None:
        self._config = config or ClientConfig()
        self._channel = _open(url, self._config)
        self._stub = SummarizationServiceStub(self._channel)
        self._budget = RetryBudget(self._config.retry)
        self._throttle = Throttle(self._config.throttle_ratio, clock=time.monotonic)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; calls in flight fail."""
        self._channel.close()

    def summarize(
        self, query: str, document: Document | str, *, timeout_s: Seconds = None, **options: Unpack[Options]
    ) -> Reply:
        """One document, one query, one summary."""
        request = make_request(query, document, **options)
        return from_proto(self._call(self._stub.Summarize, request, timeout_s))

    def summarize_stream(
        self, query: str, document: Document | str, *, timeout_s: Seconds = None, **options: Unpack[Options]
    ) -> Iterator[str | Reply]:
        """Pieces of text as they are written, then exactly one Reply. Never retried: pieces may be shown."""
        request = pb.StreamSummarizeRequest(request=make_request(query, document, **options))
        timeout_s = self._timeout(timeout_s)
        self._throttle.enter()
        return self._events(self._stub.StreamSummarize(request, timeout=timeout_s, metadata=self._config.metadata))

    def batch(self, requests: Sequence[Request], *, timeout_s: Seconds = None) -> list[Reply | QdtsError]:
        """One result per request, in order: a bad item has its error in its place and harms no other."""
        return from_batch(self._call(self._stub.BatchSummarize, to_batch(requests), timeout_s))

    def server_info(self, *, timeout_s: Seconds = None) -> ServerInfo:
        """What the server is and which bounds it enforces."""
        return from_info(self._call(self._stub.GetServerInfo, pb.GetServerInfoRequest(), timeout_s))

    def _call(self, method: Callable[..., R], request: object, timeout_s: float | None) -> R:
        attempts = Attempts(self._config.retry, self._budget, timeout_s=self._timeout(timeout_s), clock=time.monotonic)
        with self._throttle.sending() as sent:
            while True:
                try:
                    return method(request, timeout=attempts.remaining_s(), metadata=self._config.metadata)
                except grpc.RpcError as fault:
                    call = cast(FailedCall, fault)
                    failure = failure_of(call)
                    delay_s = attempts.wait_after(failure)
                    if delay_s is None:
                        sent.failure = failure
                        raise error_of(status_of(call)) from fault
                time.sleep(delay_s)

    def _events(self, call: Any) -> Iterator[str | Reply]:
        failure = None
        try:
            for message in call:
                yield message.text_delta if message.HasField("text_delta") else from_proto(message.response)
        except grpc.RpcError as fault:
            failure = failure_of(cast(FailedCall, fault))
            raise error_of(status_of(cast(FailedCall, fault))) from fault
        finally:
            self._throttle.leave(failure)
            call.cancel()

    def _timeout(self, timeout_s: float | None) -> float:
        return self._config.timeout_s if timeout_s is None else check_timeout(timeout_s)


def _open(url: str, config: ClientConfig) -> grpc.Channel:
    if config.tls is None:
        return grpc.insecure_channel(url, channel_options())
    return grpc.secure_channel(url, config.tls.credentials(), channel_options())
