"""What surrounds every call of our service: token, request id, parsing, error -> status, metrics, trace, a log line.

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
from grpc_health.v1 import health

from qdts.errors import InvalidRequest, Overloaded, QdtsError, TooManyCalls, Unauthenticated
from qdts.service import logs
from qdts.service.call_context import CallContext
from qdts.service.callers import Callers
from qdts.service.errors import Metadata, code_of, internal_status, status_of, trailers
from qdts.service.health import SERVICE_NAME
from qdts.service.metrics import Metrics
from qdts.service.slo import count_unseen
from qdts.service.tracing import Tracer
from qdts.service.validation import is_request_id

REQUEST_ID_KEY = "x-request-id"
# A caller's deadline passes on its own clock, a moment before it does on ours.
CLOCK_SLACK_S = 0.010

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Message, CallContext], Awaitable[Message | None]]
Work = Callable[[Message], Awaitable[None]]
Parse = Callable[[], Message]
# In quotes: the class is generic for type checkers only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
MaybeHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Outermost, and the only one. Of other services it asks a token, health excepted: probes have none.

    `service` is the one whose calls are surrounded: that of the port.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        callers: Callers,
        tracer: Tracer,
        write_timeout_s: float,
        service: str = SERVICE_NAME,
    ) -> None:
        self._metrics = metrics
        self._callers = callers
        self._service = service
        self._tracer = tracer
        self._write_timeout_s = write_timeout_s
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
        if handler is None or service == health.SERVICE_NAME:
            return handler
        try:
            bound = self._callers.check(cast("Any", handler_call_details.invocation_metadata))
        except Unauthenticated as error:
            return self._refuse(method, error)
        return self._surround(handler, method, bound) if service == self._service else handler

    def _refuse(self, method: str, error: QdtsError) -> Handler:
        """A handler that answers with `error`; as one of streams, it does not wait for the request to be read."""

        async def refuse(_: object, context: Context) -> None:
            await self._call(method, _nothing, lambda: _raise(error), context)

        return grpc.stream_stream_rpc_method_handler(cast("Any", refuse))

    def _surround(self, handler: Handler, method: str, bound: str | None) -> Handler:
        """Both our kinds of handlers, unary and streaming, are coroutines of one request.

        They are registered with bytes as request, so that what cannot be parsed is answered by us, and as streams of
        replies, which for one reply is the same on the wire: gRPC lets only their writes be bounded in time.
        """
        handle = cast("Behaviour", handler.unary_stream or handler.unary_unary)
        parse = cast("Callable[[bytes], Message]", handler.request_deserializer)

        async def call(data: bytes, context: Context) -> None:
            async def work(request: Message) -> None:
                tenant = self._callers.tenant(bound, context)
                seen = CallContext(context, write_timeout_s=self._write_timeout_s, tenant=tenant)
                reply = await handle(request, seen)
                if reply is not None:
                    await seen.write(reply)

            self._count(+1)
            try:
                with self._callers.calling(context):
                    await self._call(method, work, lambda: _parse(parse, data), context)
            except Overloaded as error:  # by a bound on calls: what work() raises, _call() has answered
                refusal = error
                self._metrics.count_call_refusal(is_peers=isinstance(error, TooManyCalls))
                count_unseen(self._metrics, method, error, is_bound=True)
                await self._call(method, _nothing, lambda: _raise(refusal), context)
            finally:
                self._count(-1)

        return grpc.unary_stream_rpc_method_handler(cast("Any", call), None, handler.response_serializer)

    def _count(self, change: int) -> None:
        self._num_running += change
        if self._num_running:
            self._idle.clear()
        else:
            self._idle.set()

    async def _call(self, method: str, work: Work, parse: Parse, context: Context) -> None:
        with self._tracer.call(method, cast("Any", context.invocation_metadata()) or ()):
            await self._answer(method, work, parse, context)

    async def _answer(self, method: str, work: Work, parse: Parse, context: Context) -> None:
        started_at = time.perf_counter()
        request_id = _sent_id(context) or str(uuid.uuid4())
        code = grpc.StatusCode.OK
        try:
            request = parse()
            request_id = _settle_id(request, context, request_id)
            context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
            with logs.with_request(request_id):
                await work(request)
        except QdtsError as error:
            count_unseen(self._metrics, method, error)
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
        self._tracer.ended(code.name)
        logs.info("call", method=method, code=code.name, ms=round(seconds * 1000, 2), request_id=request_id)


async def _nothing(*_: object) -> None:
    return None


def _raise(error: QdtsError) -> Message:
    raise error


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
