"""Error -> gRPC status: one table, and the details that go with each. Nothing else decides on a status code.

Every status carries a google.rpc.ErrorInfo of domain "qdts"; InvalidRequest also a BadRequest, Overloaded a
RetryInfo, QuotaExceeded a QuotaFailure, too.
"""

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from qdts.errors import (
    Cancelled,
    ConfigError,
    Conflict,
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    Loading,
    ModelNotFound,
    Overloaded,
    ProviderMissing,
    QdtsError,
    QueueFull,
    QuotaExceeded,
    Refused,
    TooManyCalls,
    Unauthenticated,
    Unavailable,
    Unsupported,
    WeightsCorrupt,
    WeightsError,
    WeightsMissing,
)

DOMAIN = "qdts"
_Code = grpc.StatusCode

STATUS: dict[type[QdtsError], tuple[grpc.StatusCode, str]] = {
    QdtsError: (_Code.INTERNAL, "INTERNAL"),
    InvalidRequest: (_Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
    ModelNotFound: (_Code.NOT_FOUND, "MODEL_NOT_FOUND"),
    Unauthenticated: (_Code.UNAUTHENTICATED, "UNAUTHENTICATED"),
    Overloaded: (_Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
    QueueFull: (_Code.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
    QuotaExceeded: (_Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
    TooManyCalls: (_Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS"),
    Unavailable: (_Code.UNAVAILABLE, "UNAVAILABLE"),
    Refused: (_Code.FAILED_PRECONDITION, "REFUSED"),
    Conflict: (_Code.FAILED_PRECONDITION, "CONFLICT"),
    Loading: (_Code.UNAVAILABLE, "LOADING"),
    Draining: (_Code.UNAVAILABLE, "DRAINING"),
    DeadlineExceeded: (_Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    Cancelled: (_Code.CANCELLED, "CANCELLED"),
    Unsupported: (_Code.FAILED_PRECONDITION, "UNSUPPORTED"),
    ProviderMissing: (_Code.FAILED_PRECONDITION, "PROVIDER_MISSING"),
    ConfigError: (_Code.FAILED_PRECONDITION, "CONFIG_ERROR"),
    WeightsError: (_Code.FAILED_PRECONDITION, "WEIGHTS_ERROR"),
    WeightsMissing: (_Code.FAILED_PRECONDITION, "WEIGHTS_MISSING"),
    WeightsCorrupt: (_Code.FAILED_PRECONDITION, "WEIGHTS_CORRUPT"),
}

Metadata = tuple[tuple[str, str | bytes], ...]


def code_of(error: QdtsError) -> grpc.StatusCode:
    """The gRPC status code of an error."""
    return STATUS[type(error)][0]


def status_of(error: QdtsError, request_id: str) -> Status:
    """The full status of an error, details included."""
    code, reason = STATUS[type(error)]
    return _status(code, str(error), reason, request_id, _details(error))


def internal_status(request_id: str) -> Status:
    """The status of a fault of ours: says nothing but where to look."""
    return _status(_Code.INTERNAL, f"internal error, request id {request_id}", "INTERNAL", request_id, [])


def trailers(status: Status, error: QdtsError | None = None) -> Metadata:
    """Trailing metadata that carries `status` and, for a shed request, when to come back."""
    details = ("grpc-status-details-bin", status.SerializeToString())
    if isinstance(error, Overloaded):
        return (details, ("grpc-retry-pushback-ms", str(round(error.retry_after_s * 1000))))
    return (details,)


def _details(error: QdtsError) -> list[Message]:
    if isinstance(error, InvalidRequest):
        violation = BadRequest.FieldViolation(field=error.field, description=error.problem)
        return [BadRequest(field_violations=[violation])]
    if isinstance(error, Overloaded):
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        return [RetryInfo(retry_delay=delay), *_quota_failure(error)]
    return []


def _quota_failure(error: Overloaded) -> list[Message]:
    if not isinstance(error, QuotaExceeded):
        return []
    return [QuotaFailure(violations=[QuotaFailure.Violation(subject="tenant", description=str(error))])]


def _status(code: grpc.StatusCode, message: str, reason: str, request_id: str, details: list[Message]) -> Status:
    number: int = code.value[0]
    status = Status(code=number, message=message)
    info = ErrorInfo(reason=reason, domain=DOMAIN, metadata={"request_id": request_id})
    for detail in [info, *details]:
        status.details.add().Pack(detail)
    return status
