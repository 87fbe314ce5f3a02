"""Tells Locust of every gRPC call: how it ended, and how long after the moment at which it was to be sent."""

import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import grpc

from qdts.loadtest.locust_verdict import FIRST_MESSAGE

# When the request that this greenlet sends was to be sent (time.monotonic()).
INTENDED_AT: ContextVar[float] = ContextVar("intended_at")


class ReportingInterceptor(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Fires events.request of Locust's environment for every call that has ended, and for a stream's first message."""

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
