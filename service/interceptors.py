"""What surrounds every call of our service: request id, parsing, error -> status, metrics, one log line.

It is also where the one broad `except` of the project stands: whatever nobody foresaw is logged by type and
frames and answered with INTERNAL and the request id, nothing else.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status

from qdts.errors import InvalidRequest, QdtsError
from qdts.service import logs
from qdts.service.errors import Metadata, code_of, internal_status, status_of, trailers
from qdts.service.health import SERVICE_NAME
from qdts.service.metrics import Metrics
from qdts.service.validation import is_request_id

REQUEST_ID_KEY = "x-request-id"
# A caller's deadline passes on its own clock, a moment before it does on ours.
CLOCK_SLACK_S = 0.010

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Message, Context], Awaitable[Any]]
# In quotes: the class is generic for type checkers only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
MaybeHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Outermost, and the only one. Leaves other services on the server, health and reflection, alone."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._num_running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def wait_until_idle(self) -> None:
        """Return when no call of ours runs."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[MaybeHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MaybeHandler:
        """The handler of the call, surrounded. Called by gRPC."""
        handler = await continuation(handler_call_details)
        service, _, method = handler_call_details.method.lstrip("/").partition("/")
        if service != SERVICE_NAME or handler is None:
            return handler
        return self._surround(handler, method)

    def _surround(self, handler: Handler, method: str) -> Handler:
        """Both our kinds of handlers, unary and streaming, are coroutines of one request.

        They are registered with bytes as request, so that what cannot be parsed is answered by us.
        """
        behaviour = cast("Behaviour", handler.unary_stream or handler.unary_unary)
        parse = cast("Callable[[bytes], Message]", handler.request_deserializer)

        async def call(data: bytes, context: Context) -> Any:
            self._count(+1)
            try:
                return await self._call(method, behaviour, lambda: _parse(parse, data), context)
            finally:
                self._count(-1)

        stream, unary = grpc.unary_stream_rpc_method_handler, grpc.unary_unary_rpc_method_handler
        wrap = stream if handler.response_streaming else unary
        return wrap(cast("Any", call), None, handler.response_serializer)

    def _count(self, change: int) -> None:
        self._num_running += change
        if self._num_running:
            self._idle.clear()
        else:
            self._idle.set()

    async def _call(self, method: str, behaviour: Behaviour, parse: Callable[[], Message], context: Context) -> Any:
        started_at = time.perf_counter()
        request_id = _sent_id(context) or str(uuid.uuid4())
        code = grpc.StatusCode.OK
        try:
            request = parse()
            request_id = _settle_id(request, context, request_id)
            context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
            with logs.with_request(request_id):
                return await behaviour(request, context)
        except QdtsError as error:
            code = code_of(error)
            status = status_of(error, request_id)
            await _abort(context, code, status, trailers(status, error), request_id)
        except asyncio.CancelledError:
            code = _why_cancelled(context)
            raise
        except Exception as error:
            code = grpc.StatusCode.INTERNAL
            logs.fault("call_failed", error, method=method, request_id=request_id)
            status = internal_status(request_id)
            await _abort(context, code, status, trailers(status), request_id)
        finally:
            self._note(method, code, time.perf_counter() - started_at, request_id)

    def _note(self, method: str, code: grpc.StatusCode, seconds: float, request_id: str) -> None:
        self._metrics.observe_call(method, code.name, seconds)
        logs.info("call", method=method, code=code.name, ms=round(seconds * 1000, 2), request_id=request_id)


def _parse(parse: Callable[[bytes], Message], data: bytes) -> Message:
    try:
        return parse(data)
    except DecodeError as error:
        problem = "cannot be parsed; must be a protobuf message whose strings are valid UTF-8"
        raise InvalidRequest("request", problem) from error


def _sent_id(context: Context) -> str | None:
    """The id in the call's metadata; an invalid one is ignored, not refused: a proxy may have set it."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and is_request_id(value):
            return value
    return None


def _settle_id(request: Message, context: Context, request_id: str) -> str:
    """The call's id: from its metadata, or from the request, or new. The request is made to carry it.

    An invalid id in the request stays there, for validation to refuse.
    """
    carrier = cast("Any", getattr(request, "request", request))
    if "request_id" not in carrier.DESCRIPTOR.fields_by_name:
        return request_id
    own = cast("str", carrier.request_id)
    if own and (not is_request_id(own) or _sent_id(context) is None):
        return own if is_request_id(own) else request_id
    carrier.request_id = request_id
    return request_id


async def _abort(context: Context, code: grpc.StatusCode, status: Status, details: Metadata, request_id: str) -> None:
    await context.abort(code, status.message, ((REQUEST_ID_KEY, request_id), *details))


def _why_cancelled(context: Context) -> grpc.StatusCode:
    """gRPC cancels a handler when the caller goes away and when its deadline passes."""
    left_s = cast("float | None", context.time_remaining())
    is_late = left_s is not None and left_s <= CLOCK_SLACK_S
    return grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
