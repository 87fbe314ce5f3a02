"""Failed calls as the classes of qdts.errors, with what the status details say. Raises nothing itself."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from qdts.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    QdtsError,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from qdts.service.client.retry import Failure, Pushback
from qdts.service.errors import DOMAIN, STATUS

_BY_REASON = {reason: cls for cls, (_, reason) in STATUS.items()}
# For errors that gRPC itself or a proxy made: they carry no ErrorInfo.
_BY_CODE: dict[int, type[QdtsError]] = {
    code_pb2.NOT_FOUND: ModelNotFound,
    code_pb2.RESOURCE_EXHAUSTED: Overloaded,
    code_pb2.UNAVAILABLE: Unavailable,
    code_pb2.DEADLINE_EXCEEDED: DeadlineExceeded,
    code_pb2.CANCELLED: Cancelled,
    code_pb2.FAILED_PRECONDITION: Unsupported,
    code_pb2.UNAUTHENTICATED: Unauthenticated,
}
_DEFAULT_RETRY_AFTER_S = 0.1
# How gRPC itself words its refusal of a long message, under the code that otherwise means "come back later".
_TOO_LONG = "message larger than max"

M = TypeVar("M", bound=Message)


class FailedCall(Protocol):
    """What an error of grpc and one of grpc.aio have in common."""

    def code(self) -> grpc.StatusCode:
        """How it ended."""
        ...

    def details(self) -> str | None:
        """In words."""
        ...

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """What came with it: details in the way of google.rpc among them."""
        ...


def status_of(call: FailedCall) -> status_pb2.Status:
    """The rich status in the trailers; where there is none, one made of code and message."""
    for key, value in call.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    number: int = call.code().value[0]
    return status_pb2.Status(code=number, message=call.details() or "")


def failure_of(call: FailedCall) -> Failure:
    """What the retry logic needs to know of a failed attempt."""
    pushback = _pushback(call, status_of(call))
    if call.code() is grpc.StatusCode.UNAVAILABLE:
        return Failure(is_transient=True, pushback=pushback)
    if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Failure(is_transient=False, pushback=pushback)
    return Failure(is_transient=False)


def error_of(status: status_pb2.Status) -> QdtsError:
    """The class of qdts.errors for a status, of a call or of one item of a batch."""
    if status.code == code_pb2.INVALID_ARGUMENT:
        return _invalid(status)
    info = _detail(status, error_details_pb2.ErrorInfo)
    reason = info.reason if info is not None and info.domain == DOMAIN else ""
    if not reason and status.code == code_pb2.RESOURCE_EXHAUSTED and _TOO_LONG in status.message:
        return InvalidRequest("request", f"is longer than the transport accepts: {status.message}")
    cls = _BY_REASON.get(reason) or _BY_CODE.get(status.code) or QdtsError
    if issubclass(cls, Overloaded):
        return cls(status.message, retry_after_s=_retry_after_s(status))
    if cls is QdtsError:
        return QdtsError(f"{_code_name(status.code)}: {status.message}")
    return cls(status.message)


def _invalid(status: status_pb2.Status) -> InvalidRequest:
    bad = _detail(status, error_details_pb2.BadRequest)
    if bad is None or not bad.field_violations:
        return InvalidRequest("request", status.message)
    first = bad.field_violations[0]
    return InvalidRequest(first.field, first.description)


def _pushback(call: FailedCall, status: status_pb2.Status) -> Pushback | None:
    for key, value in call.trailing_metadata() or ():
        if key == "grpc-retry-pushback-ms":
            return Pushback.parse(value)
    info = _detail(status, error_details_pb2.RetryInfo)
    return None if info is None else Pushback(delay_s=_seconds(info))


def _retry_after_s(status: status_pb2.Status) -> float:
    info = _detail(status, error_details_pb2.RetryInfo)
    return _DEFAULT_RETRY_AFTER_S if info is None else _seconds(info)


def _seconds(info: error_details_pb2.RetryInfo) -> float:
    return max(0.0, info.retry_delay.seconds + info.retry_delay.nanos / 1e9)


def _detail(status: status_pb2.Status, cls: type[M]) -> M | None:
    for packed in status.details:
        detail = cls()
        if packed.Unpack(detail):
            return detail
    return None


def _code_name(code: int) -> str:
    return code_pb2.Code.Name(code) if code in code_pb2.Code.values() else f"CODE_{code}"
