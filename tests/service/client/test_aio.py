"""The client for asyncio: the same behaviour as the one for threads, awaited."""

import asyncio
from typing import Any

import pytest

from qdts.errors import DeadlineExceeded, Draining, InvalidRequest, QueueFull
from qdts.service.client import AsyncClient, ClientConfig, Reply, Request
from qdts.service.errors import status_of
from qdts.v1 import summarization_pb2 as pb

OK = pb.SummarizeResponse(summary="ok")
# Where the deadline is not the point, a busy machine must not matter.
PATIENT = ClientConfig(timeout_s=20)


async def test_a_reply_comes_back(script: Any, url: str) -> None:
    async with AsyncClient(url, PATIENT) as client:
        assert (await client.summarize("q", "d", max_words=9)).summary == "ok"
    assert script.requests[0].options.max_words == 9


async def test_an_unavailable_server_is_tried_again(script: Any, url: str) -> None:
    script.answers = [Draining("bye"), QueueFull("full", retry_after_s=0.01), OK]
    async with AsyncClient(url, PATIENT) as client:
        assert (await client.summarize("q", "d")).summary == "ok"
    assert len(script.requests) == 3


async def test_the_deadline_holds(script: Any, url: str) -> None:
    script.delay_s = 5
    async with AsyncClient(url, PATIENT) as client:
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(client.summarize("q", "d", timeout_s=0.1), 4)


async def test_an_invalid_request_names_its_field(script: Any, url: str) -> None:
    script.answers = [InvalidRequest("query", "is blank")]
    async with AsyncClient(url, PATIENT) as client:
        with pytest.raises(InvalidRequest, match="query: is blank"):
            await client.summarize("", "d")


async def test_many_calls_at_once_share_one_client(script: Any, url: str) -> None:
    async with AsyncClient(url, PATIENT) as client:
        replies = await asyncio.gather(*(client.summarize("q", f"d{i}") for i in range(50)))
    assert [reply.summary for reply in replies] == ["ok"] * 50


async def test_stream_gives_pieces_then_the_reply(script: Any, url: str) -> None:
    script.events = [pb.StreamSummarizeResponse(text_delta="o"), pb.StreamSummarizeResponse(response=OK)]
    async with AsyncClient(url, PATIENT) as client:
        events = [event async for event in client.summarize_stream("q", "d")]
    assert events[0] == "o"
    assert isinstance(events[1], Reply)


async def test_a_stream_that_fails_raises(script: Any, url: str) -> None:
    script.events = [Draining("bye")]
    async with AsyncClient(url, PATIENT) as client:
        with pytest.raises(Draining):
            async for _ in client.summarize_stream("q", "d"):
                pass


async def test_a_batch_keeps_errors_in_their_place(script: Any, url: str) -> None:
    bad = status_of(InvalidRequest("query", "is blank"), "r1")
    script.batch = pb.BatchSummarizeResponse(
        results=[pb.BatchSummarizeResult(response=OK), pb.BatchSummarizeResult(error=bad)]
    )
    async with AsyncClient(url, PATIENT) as client:
        first, second = await client.batch([Request(query="q", document="d"), Request(query="", document="d")])
    assert isinstance(first, Reply)
    assert isinstance(second, InvalidRequest)


async def test_server_info(script: Any, url: str) -> None:
    script.info = pb.GetServerInfoResponse(version="1")
    async with AsyncClient(url, PATIENT) as client:
        assert (await client.server_info()).version == "1"
