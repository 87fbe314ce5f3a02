"""Proto <-> domain, nothing else: read the request, ask the answerer, write the response."""

import asyncio
import time

from google.rpc.status_pb2 import Status

from qdts.errors import Draining, Loading, QdtsError
from qdts.service import logs
from qdts.service.call_context import CallContext
from qdts.service.config import ServerConfig
from qdts.service.deadline import Deadline
from qdts.service.errors import internal_status, status_of
from qdts.service.health import Health, State
from qdts.service.reply import Reply
from qdts.service.request import Request
from qdts.service.response import write_response, write_server_info
from qdts.service.serving import Serving
from qdts.service.text_stream import TextStream
from qdts.service.validation import MAX_REQUEST_ID_CHARS, check_batch, read_request
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

# Items of one batch that are worked on side by side: enough to fill the engine, not enough to fill its queue.
BATCH_WIDTH = 16
# Kept back of a batch's time, as a share and at most: its last items must not make the reply late for all.
BATCH_REPLY_SHARE, MAX_BATCH_REPLY_S = 0.1, 0.5


class SummarizationServicer(pb_grpc.SummarizationServiceServicer):
    """The four RPCs. Refuses calls until `answerer` is set."""

    def __init__(self, config: ServerConfig, health: Health) -> None:
        self._config = config
        self._health = health
        self.answerer: Serving | None = None

    async def Summarize(self, request: pb.SummarizeRequest, context: CallContext) -> pb.SummarizeResponse:  # noqa: N802
        """One document, one query, one summary."""
        started_at = time.perf_counter()
        answerer = self._open()
        asked = self._read(request, context)
        reply = await answerer.answer(asked, self._deadline(context))
        return write_response(reply, asked, total_ms=_ms_since(started_at))

    async def BatchSummarize(  # noqa: N802
        self, request: pb.BatchSummarizeRequest, context: CallContext
    ) -> pb.BatchSummarizeResponse:
        """Each item by itself, side by side, under the one deadline."""
        answerer = self._open()
        check_batch(request, self._config.limits)
        deadline = _before_batch_reply(self._deadline(context))
        width = asyncio.Semaphore(BATCH_WIDTH)

        async def one(index: int, item: pb.SummarizeRequest) -> pb.SummarizeResponse:
            item.request_id = item.request_id or _item_id(request.request_id, index)
            asked = self._read(item, context, path=f"requests[{index}].")
            async with width:
                started_at = time.perf_counter()
                reply = await answerer.answer(asked, deadline)
                return write_response(reply, asked, total_ms=_ms_since(started_at))

        items = [one(index, item) for index, item in enumerate(request.requests)]
        outcomes = await asyncio.gather(*items, return_exceptions=True)
        ids = [item.request_id for item in request.requests]
        results = [_result(outcome, request_id) for outcome, request_id in zip(outcomes, ids, strict=True)]
        return pb.BatchSummarizeResponse(results=results, request_id=request.request_id)

    async def StreamSummarize(self, request: pb.StreamSummarizeRequest, context: CallContext) -> None:  # noqa: N802
        """Pieces of text as they are written, then the response.

        Writes to the context instead of yielding, so that a call that is cancelled ends here and not in a
        generator that nobody closes.
        """
        started_at = time.perf_counter()
        answerer = self._open()
        asked = self._read(request.request, context, path="request.")
        reply = await self._stream(answerer, asked, context)
        response = write_response(reply, asked, total_ms=_ms_since(started_at))
        await context.write(pb.StreamSummarizeResponse(response=response))

    async def GetServerInfo(  # noqa: N802
        self, request: pb.GetServerInfoRequest, context: CallContext
    ) -> pb.GetServerInfoResponse:
        """What this server is; also while it loads or drains."""
        ladder = self.answerer.ladder if self.answerer is not None else None
        return write_server_info(self._config, ladder, is_ready=self._health.state is State.READY)

    def _open(self) -> Serving:
        if self._health.state is State.CLOSED:
            raise Draining("the server is about to exit")
        if self.answerer is None:
            raise Loading("the server is not warmed up yet")
        return self.answerer

    def _read(self, message: pb.SummarizeRequest, context: CallContext, *, path: str = "") -> Request:
        """The request, and whose it is."""
        return read_request(message, self._config.limits, path=path, tenant=context.tenant)

    def _deadline(self, context: CallContext) -> Deadline:
        bounds = self._config.deadlines
        left_s = context.time_remaining()
        return Deadline.after(bounds.default_ms / 1000 if left_s is None else min(left_s, bounds.max_ms / 1000))

    async def _stream(self, answerer: Serving, asked: Request, context: CallContext) -> Reply:
        stream = TextStream()
        task = asyncio.ensure_future(answerer.answer(asked, self._deadline(context), stream.update))
        task.add_done_callback(lambda _: stream.close())
        try:
            async for piece in stream.pieces():
                await context.write(pb.StreamSummarizeResponse(text_delta=piece))
            reply = await task
            if piece := stream.rest(reply.summary.text):
                await context.write(pb.StreamSummarizeResponse(text_delta=piece))
            return reply
        finally:
            task.cancel()


def _before_batch_reply(deadline: Deadline) -> Deadline:
    return deadline.sooner(min(BATCH_REPLY_SHARE * deadline.remaining_s, MAX_BATCH_REPLY_S))


def _item_id(batch_id: str, index: int) -> str:
    """The id of an item that came without: the batch's, cut where both together were too long for one."""
    end = f"/{index}"
    return batch_id[: MAX_REQUEST_ID_CHARS - len(end)] + end


def _result(outcome: pb.SummarizeResponse | BaseException, request_id: str) -> pb.BatchSummarizeResult:
    if isinstance(outcome, pb.SummarizeResponse):
        return pb.BatchSummarizeResult(response=outcome)
    return pb.BatchSummarizeResult(error=_error(outcome, request_id))


def _error(error: BaseException, request_id: str) -> Status:
    if isinstance(error, QdtsError):
        return status_of(error, request_id)
    logs.fault("item_failed", error, item_request_id=request_id)
    return internal_status(request_id)


def _ms_since(started_at: float) -> float:
    return (time.perf_counter() - started_at) * 1000
