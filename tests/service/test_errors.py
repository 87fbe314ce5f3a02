"""Every error has a status, and every status its details."""

from collections.abc import Iterable

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from qdts import errors
from qdts.errors import InvalidRequest, Overloaded, QdtsError, QueueFull
from qdts.service.errors import DOMAIN, STATUS, internal_status, status_of, trailers


def family(root: type[QdtsError]) -> set[type[QdtsError]]:
    return {root}.union(*(family(child) for child in root.__subclasses__()))


def by_name(kinds: Iterable[type[QdtsError]]) -> list[type[QdtsError]]:
    return sorted(kinds, key=lambda kind: kind.__name__)


def make(kind: type[QdtsError]) -> QdtsError:
    return kind("query", "is blank") if issubclass(kind, InvalidRequest) else kind("what happened")


def test_every_error_has_a_status() -> None:
    assert family(QdtsError) - STATUS.keys() == set()


def test_no_error_is_listed_that_does_not_exist() -> None:
    assert {kind.__name__ for kind in STATUS} <= vars(errors).keys()


def test_reasons_are_distinct_and_upper_snake() -> None:
    reasons = [reason for _, reason in STATUS.values()]
    assert len(set(reasons)) == len(reasons)
    assert all(reason.replace("_", "").isalpha() and reason.isupper() and len(reason) <= 63 for reason in reasons)


def detail(status: object, kind: type[Message]) -> Message | None:
    message = kind()
    found = [any_ for any_ in status.details if any_.Is(kind.DESCRIPTOR)]  # type: ignore[attr-defined]
    assert len(found) <= 1, "each detail type at most once"
    return message if found and found[0].Unpack(message) else None


@pytest.mark.parametrize("kind", by_name(STATUS))
def test_every_status_carries_error_info(kind: type[QdtsError]) -> None:
    status = status_of(make(kind), "r-1")
    info = detail(status, ErrorInfo)
    assert isinstance(info, ErrorInfo)
    code, reason = STATUS[kind]
    assert (status.code, info.reason, info.domain) == (code.value[0], reason, DOMAIN)
    assert info.metadata["request_id"] == "r-1"


def test_invalid_request_names_its_field() -> None:
    bad = detail(status_of(InvalidRequest("query", "is blank; must not be"), "r-1"), BadRequest)
    assert isinstance(bad, BadRequest)
    assert [(v.field, v.description) for v in bad.field_violations] == [("query", "is blank; must not be")]


@pytest.mark.parametrize("kind", by_name(family(Overloaded)))
def test_overload_says_when_to_come_back(kind: type[Overloaded]) -> None:
    error = kind("full", retry_after_s=0.25)
    status = status_of(error, "r-1")
    retry = detail(status, RetryInfo)
    assert isinstance(retry, RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 250
    assert ("grpc-retry-pushback-ms", "250") in trailers(status, error)


def test_only_overload_pushes_back() -> None:
    error = InvalidRequest("query", "is blank")
    assert [key for key, _ in trailers(status_of(error, ""), error)] == ["grpc-status-details-bin"]


def test_internal_status_says_nothing_but_the_id() -> None:
    status = internal_status("r-9")
    assert (status.code, status.message) == (
        grpc.StatusCode.INTERNAL.value[0],
        "internal error, request id r-9",
    )
    assert detail(status, RetryInfo) is None


def test_queue_full_is_an_overload() -> None:
    assert STATUS[QueueFull][0] == STATUS[Overloaded][0] == grpc.StatusCode.RESOURCE_EXHAUSTED
