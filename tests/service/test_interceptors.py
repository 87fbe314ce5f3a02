"""What surrounds every call: ids, counts, one log line without text."""

import asyncio
import json
import uuid
from typing import Any

import grpc
import pytest

from qdts.v1 import summarization_pb2 as pb


async def call(server: Any, request: Any, **metadata: str) -> tuple[Any, dict[str, str | bytes]]:
    rpc = server.stub.Summarize(
        request, timeout=55, metadata=tuple((key.replace("_", "-"), value) for key, value in metadata.items())
    )
    return await rpc, dict(await rpc.trailing_metadata())


async def test_request_id_is_made_up_where_none_is_given(server: Any, kit: Any) -> None:
    reply, trailers = await call(server, kit.ask())
    assert trailers["x-request-id"] == reply.request_id
    assert uuid.UUID(reply.request_id).version == 4


async def test_request_id_of_the_request_is_echoed(server: Any, kit: Any) -> None:
    reply, trailers = await call(server, kit.ask(request_id="mine"))
    assert (reply.request_id, trailers["x-request-id"]) == ("mine", "mine")


async def test_request_id_of_the_metadata_wins(server: Any, kit: Any) -> None:
    reply, trailers = await call(server, kit.ask(request_id="mine"), x_request_id="proxy")
    assert (reply.request_id, trailers["x-request-id"]) == ("proxy", "proxy")


async def test_invalid_request_id_of_the_metadata_is_ignored(server: Any, kit: Any) -> None:
    reply, trailers = await call(server, kit.ask(request_id="mine"), x_request_id="x" * 200)
    assert (reply.request_id, trailers["x-request-id"]) == ("mine", "mine")


async def test_errors_carry_the_request_id(server: Any, kit: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(server, kit.ask(query=""), x_request_id="proxy")
    assert dict(caught.value.trailing_metadata() or ())["x-request-id"] == "proxy"


async def test_stream_carries_the_request_id(server: Any, kit: Any) -> None:
    rpc = server.stub.StreamSummarize(
        pb.StreamSummarizeRequest(request=kit.ask()), timeout=55, metadata=(("x-request-id", "s"),)
    )
    events = [event async for event in rpc]
    assert events[-1].response.request_id == "s"
    assert dict(await rpc.trailing_metadata())["x-request-id"] == "s"


async def test_one_log_line_per_call_and_no_text(
    server: Any, kit: Any, eventually: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    await call(server, kit.ask(query="Quetzalcoatlus wings", text="Quetzalcoatlus flies."), x_request_id="r-1")
    said: list[str] = []
    # It is written when the reply is on its way, which may have arrived by then.
    await eventually(lambda: said.append(capfd.readouterr().err) or '"call"' in "".join(said), timeout_s=30)
    lines = [json.loads(line) for line in "".join(said).splitlines()]
    assert [line["event"] for line in lines] == ["call"]
    (line,) = lines
    assert (line["method"], line["code"], line["request_id"], line["level"]) == (
        "Summarize",
        "OK",
        "r-1",
        "info",
    )
    assert line["ms"] > 0
    assert "quetzalcoatlus" not in json.dumps(line).lower()


async def test_calls_are_counted_by_method_and_code(server: Any, kit: Any, eventually: Any) -> None:
    value = server.application.metrics.value
    await call(server, kit.ask())
    with pytest.raises(grpc.aio.AioRpcError):
        await call(server, kit.ask(query=""))
    server.model.gate.clear()
    rpc = server.stub.Summarize(kit.ask(options=pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)), timeout=55)
    await eventually(lambda: server.model.num_starts == 2, timeout_s=30)
    rpc.cancel()
    for code in ("OK", "INVALID_ARGUMENT", "CANCELLED"):
        counted = {"method": "Summarize", "code": code}
        await eventually(lambda counted=counted: value("qdts_calls_total", **counted) == 1, timeout_s=30)


async def test_expired_calls_are_counted_as_such(server: Any, kit: Any, eventually: Any) -> None:
    num_asked = 0

    class Never:
        async def answer(self, *args: object) -> None:
            nonlocal num_asked
            num_asked += 1
            await asyncio.sleep(600)

    server.application._servicer.answerer = Never()
    for timeout_s in (0.2, 2, 20):  # a call that expires on its way to the server is none of the server's
        with pytest.raises(grpc.aio.AioRpcError):
            await server.stub.Summarize(kit.ask(), timeout=timeout_s)
        if num_asked:
            break
    assert num_asked == 1
    expired = {"method": "Summarize", "code": "DEADLINE_EXCEEDED"}
    await eventually(lambda: server.application.metrics.value("qdts_calls_total", **expired) >= 1, timeout_s=30)
    assert server.application.metrics.value("qdts_calls_total", method="Summarize", code="CANCELLED") == 0
