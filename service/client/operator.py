"""The operators' RPCs (proto/qdts/v1/admin.proto), for threads: what `qdts admin` calls."""

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from qdts.errors import ConfigError
from qdts.service.client.config import Tls, channel_options, check_timeout
from qdts.service.client.faults import FailedCall, error_of, status_of
from qdts.v1 import admin_pb2 as pb
from qdts.v1.admin_pb2_grpc import AdminServiceStub


class Operator:
    """Operates one server. Every call has a deadline; every error is a class of qdts.errors. Nothing is retried."""

    def __init__(self, url: str, *, token: str | None = None, tls: Tls | None = None, timeout_s: float = 5.0) -> None:
        """`token` goes over TLS, or to this machine."""
        if token is not None and tls is None and not _is_loopback(url):
            raise ConfigError("token: needs tls, it is not sent to another machine in the clear")
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self._timeout_s = check_timeout(timeout_s)
        options = channel_options()
        if tls is None:
            self._channel = grpc.insecure_channel(url, options)
        else:
            self._channel = grpc.secure_channel(url, tls.credentials(), options)
        self._stub: Any = AdminServiceStub(self._channel)

    def __enter__(self) -> "Operator":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def status(self) -> pb.GetStatusResponse:
        """How the server is."""
        return self._call(self._stub.GetStatus, pb.GetStatusRequest())

    def swap_model(self, model: str = "") -> pb.ModelSwap:
        """Begin to put a model in place: one below admin.models_dir, or the one that engine.model names."""
        return self._call(self._stub.SwapModel, pb.SwapModelRequest(model=model)).swap

    def promote_canary(self) -> pb.ModelSwap:
        """Begin to put the canary's model in place."""
        return self._call(self._stub.PromoteCanary, pb.PromoteCanaryRequest()).swap

    def stop_canary(self) -> None:
        """End the canary."""
        self._call(self._stub.StopCanary, pb.StopCanaryRequest())

    def drain(self) -> None:
        """Begin to end the server."""
        self._call(self._stub.Drain, pb.DrainRequest())

    def set_log_level(self, level: str) -> str:
        """From "debug", "info", "warning" or "error" on; the level before."""
        request = pb.SetLogLevelRequest(level=f"LOG_LEVEL_{level.upper()}")
        before = self._call(self._stub.SetLogLevel, request).previous
        return pb.LogLevel.Name(before).removeprefix("LOG_LEVEL_").lower()

    def _call(self, method: Callable[..., Any], request: Message) -> Any:
        with _own_errors():
            return method(request, timeout=self._timeout_s, metadata=self._metadata)


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as fault:
        raise error_of(status_of(cast(FailedCall, fault))) from fault


def _is_loopback(url: str) -> bool:
    host = url.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
