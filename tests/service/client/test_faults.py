"""Every error the service can send comes back as the class it left as."""

import grpc
import pytest
from google.rpc.status_pb2 import Status

from qdts.errors import InvalidRequest, Overloaded, QdtsError, Unavailable
from qdts.service.client.faults import error_of, status_of
from qdts.service.errors import STATUS
from qdts.service.errors import status_of as sent_as


class FakeCall:
    """A failed call with the given trailers."""

    def __init__(self, trailers: tuple[tuple[str, str | bytes], ...]) -> None:
        self._trailers = trailers

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "gone"

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._trailers


def make(cls: type[QdtsError]) -> QdtsError:
    return cls("query", "is blank") if cls is InvalidRequest else cls("message")


@pytest.mark.parametrize("cls", STATUS, ids=lambda cls: cls.__name__)
def test_every_error_comes_back_as_its_own_class(cls: type[QdtsError]) -> None:
    actual = error_of(sent_as(make(cls), "r1"))
    assert type(actual) is cls
    assert str(make(cls)) in str(actual)


def test_the_time_to_come_back_survives() -> None:
    error = error_of(sent_as(Overloaded("busy", retry_after_s=1.5), "r1"))
    assert isinstance(error, Overloaded) and error.retry_after_s == 1.5


def test_message_over_the_transport_limit_is_the_caller_s_mistake() -> None:
    message = "SERVER: Received message larger than max (9437216 vs. 8388608)"
    error = error_of(Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message=message))
    assert isinstance(error, InvalidRequest)
    assert error.field == "request" and "8388608" in error.problem


def test_an_unknown_code_is_still_an_error_of_ours() -> None:
    error = error_of(Status(code=99, message="odd"))
    assert type(error) is QdtsError and str(error) == "CODE_99: odd"


@pytest.mark.parametrize("trailers", [(), (("grpc-status-details-bin", b"\xff\xff"),), (("x", "y"),)])
def test_unreadable_details_leave_code_and_message(trailers: tuple[tuple[str, str | bytes], ...]) -> None:
    error = error_of(status_of(FakeCall(trailers)))
    assert type(error) is Unavailable and str(error) == "gone"
