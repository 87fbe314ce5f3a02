"""Bad and odd input over real gRPC: the right status naming field and bound, or a good answer.

Whatever comes, no text stands in the logs and the server's other requests are unharmed.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from qdts.v1 import summarization_pb2 as pb

SUMMARIZE = "/qdts.v1.SummarizationService/Summarize"
FAST = pb.SummarizeOptions(tier=pb.TIER_FAST)
# Stands in every text below and must stand in no log line.
SECRET = "Quetzalcoatlus"
BLANKS = [
    "",
    " \t\r\n",
    "\x00\x07\x1b",
    "\u200b\u200d\ufeff\u2060",
    "\u3000\u00a0\u00ad",
    "\u202e\u2066\u2069",
]


def status_of(error: grpc.aio.AioRpcError) -> Status:
    """The google.rpc.Status in an error's trailers."""
    trailers = dict(error.trailing_metadata() or ())
    return Status.FromString(trailers["grpc-status-details-bin"])  # type: ignore[arg-type]


def details_of(error: grpc.aio.AioRpcError) -> tuple[ErrorInfo, BadRequest]:
    info, bad = ErrorInfo(), BadRequest()
    for detail in status_of(error).details:
        if not detail.Unpack(info):
            detail.Unpack(bad)
    return info, bad


async def refused(call: Any, field: str, *bounds: str) -> None:
    """`call` fails with INVALID_ARGUMENT, naming field and bounds, here and in the details."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    info, bad = details_of(error)
    assert (info.domain, info.reason) == ("qdts", "INVALID_REQUEST")
    assert [violation.field for violation in bad.field_violations] == [field]
    for text in (error.details() or "", bad.field_violations[0].description):
        assert all(bound in text for bound in bounds), text
        assert SECRET not in text


@pytest.fixture(name="victim", autouse=True)
async def _victim(server: Any, kit: Any) -> AsyncIterator[None]:
    """Others call all the time; none may fail, and no text may be logged."""
    done = asyncio.Event()

    async def keep_calling() -> int:
        count = 0
        while not done.is_set():
            text = f"Bystander {count} is fine. Nothing else matters."
            reply = await server.stub.Summarize(kit.ask(query="bystander", text=text), timeout=10)
            assert reply.rung == pb.RUNG_FULL
            count += 1
            await asyncio.sleep(0.01)
        return count

    calls = asyncio.create_task(keep_calling())
    await asyncio.sleep(0.02)
    yield
    done.set()
    assert await calls > 0


@pytest.fixture(autouse=True)
def _no_text_in_logs(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Any:
    yield
    written = capfd.readouterr()
    for text in (written.out, written.err, caplog.text):
        for secret in (SECRET, SECRET.lower(), "Bystander"):
            assert secret not in text


@pytest.mark.parametrize("blank", BLANKS)
async def test_blank_query(server: Any, kit: Any, blank: str) -> None:
    await refused(server.stub.Summarize(kit.ask(query=blank, text=SECRET), timeout=10), "query", "at least 1")


@pytest.mark.parametrize("blank", BLANKS)
async def test_blank_document(server: Any, kit: Any, blank: str) -> None:
    call = server.stub.Summarize(kit.ask(query=SECRET, text=blank), timeout=10)
    await refused(call, "document.text", "at least 1")


async def test_empty_message(server: Any) -> None:
    await refused(server.stub.Summarize(pb.SummarizeRequest(), timeout=10), "query")


async def test_query_over_the_limit(server: Any, kit: Any) -> None:
    call = server.stub.Summarize(kit.ask(query=SECRET + "é" * 1000), timeout=10)
    await refused(call, "query", "1,014", "1,000")


async def test_query_at_the_limit(server: Any, kit: Any) -> None:
    reply = await server.stub.Summarize(kit.ask(query="é" * 1000), timeout=10)
    assert reply.rung == pb.RUNG_FULL


@pytest.mark.parametrize("tier", [pb.TIER_FAST, pb.TIER_GENERATIVE])
async def test_document_of_1_mb_is_answered_well(server: Any, kit: Any, tier: Any) -> None:
    filler = "This sentence says nothing of interest to anybody at all. " * 8600
    middle = f"{SECRET} had a wingspan of ten metres. "
    text = filler + middle + filler
    assert len(text) > 990_000
    request = kit.ask(query=f"wingspan of {SECRET}", text=text, options=pb.SummarizeOptions(tier=tier))
    reply = await server.stub.Summarize(request, timeout=20)
    if tier == pb.TIER_FAST:
        assert reply.rung == pb.RUNG_EXTRACTIVE
        assert reply.summary.startswith(f"{SECRET} had a wingspan")
        span = reply.sentences[0].source_span
        assert text[span.start : span.end] == middle.strip()
    else:
        assert reply.rung == pb.RUNG_FULL


async def test_document_of_5_mb_is_refused_by_us_and_not_by_the_transport(server: Any, kit: Any) -> None:
    call = server.stub.Summarize(kit.ask(query=SECRET, text=SECRET + "word " * 1_000_000), timeout=10)
    await refused(call, "document.text", "5,000,014", "2,000,000")


async def test_message_over_the_transport_limit(server: Any, kit: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.stub.Summarize(kit.ask(text=SECRET + "x" * (9 << 20)), timeout=10)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("tier", [pb.TIER_FAST, pb.TIER_GENERATIVE])
async def test_nul_is_read_as_a_space_and_offsets_stay_true(server: Any, kit: Any, tier: Any) -> None:
    text = "\x00\x00Intro here.\x00 The dam\x00 holds nine lakes. End."
    request = kit.ask(query="dam\x00 lakes", text=text, options=pb.SummarizeOptions(tier=tier))
    reply = await server.stub.Summarize(request, timeout=10)
    assert "\x00" not in reply.summary
    span = reply.sentences[0].source_span
    quoted = text[span.start : span.end].replace("\x00", " ").split()
    assert reply.sentences[0].text.split() == quoted


async def test_invalid_utf8_on_the_wire(server: Any, kit: Any) -> None:
    data = kit.ask(query="QUERY", text=SECRET).SerializeToString().replace(b"QUERY", b"\xff\xfe\x80RY")
    call = server.channel.unary_unary(SUMMARIZE)
    await refused(call(data, timeout=10), "request", "valid UTF-8")


@pytest.mark.parametrize("data", [b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 50, b"\x0a\x05ab"])
async def test_bytes_that_are_no_message(server: Any, data: bytes) -> None:
    await refused(server.channel.unary_unary(SUMMARIZE)(data, timeout=10), "request", "cannot be parsed")


async def test_invalid_utf8_in_a_stream_and_in_a_batch(server: Any, kit: Any) -> None:
    good = pb.StreamSummarizeRequest(request=kit.ask(query="QUERY", text=SECRET))
    data = good.SerializeToString().replace(b"QUERY", b"\xff\xfe\x80RY")
    method = "/qdts.v1.SummarizationService/"

    async def stream() -> None:
        async for _ in server.channel.unary_stream(method + "StreamSummarize")(data, timeout=10):
            pass

    await refused(stream(), "request", "valid UTF-8")
    await refused(server.channel.unary_unary(method + "BatchSummarize")(data, timeout=10), "request", "UTF-8")


async def test_unknown_fields_are_ignored(server: Any, kit: Any) -> None:
    data = kit.ask().SerializeToString() + b"\xfa\x3f\x05hello" + b"\xc8\x3e\x2a"
    answer = await server.channel.unary_unary(SUMMARIZE)(data, timeout=10)
    assert pb.SummarizeResponse.FromString(answer).rung == pb.RUNG_FULL


@pytest.mark.parametrize("tier", [pb.TIER_FAST, pb.TIER_GENERATIVE])
async def test_one_word_of_1_mb(server: Any, kit: Any, tier: Any) -> None:
    request = kit.ask(query="anything", text="x" * 1_000_000, options=pb.SummarizeOptions(tier=tier))
    reply = await server.stub.Summarize(request, timeout=20)
    assert 0 < len(reply.summary) <= 10_000


async def test_million_tiny_sentences(server: Any, kit: Any) -> None:
    request = kit.ask(query="anything", text="!\n" * 500_000, options=FAST)
    started_at = time.monotonic()
    reply = await server.stub.Summarize(request, timeout=20)
    assert reply.summary.startswith("!")
    assert len(reply.summary) <= 10_000
    assert time.monotonic() - started_at < 20


async def test_html_and_script_come_back_as_they_stand(server: Any, kit: Any) -> None:
    line = '<script>alert("lakes & <b>dams</b>")</script> holds lakes'
    reply = await server.stub.Summarize(kit.ask(query="lakes", text=line, options=FAST), timeout=10)
    assert reply.summary == line


@pytest.mark.parametrize(
    ("language", "query", "text", "expected"),
    [
        (
            "zh",
            "长城 长度",
            "北京是中国的首都。长城的长度超过两万公里。上海在海边。",
            "长城的长度超过两万公里。",
        ),
        (
            "ar",
            "طول النهر",
            "القاهرة مدينة كبيرة. يبلغ طول النهر 6650 كيلومترا.",
            "يبلغ طول النهر 6650 كيلومترا.",
        ),
        ("he", "גובה ההר", "ירושלים היא עיר. גובה ההר הוא 2236 מטר.", "גובה ההר הוא 2236 מטר."),
        (
            "",
            "🐧 penguins",
            "🌋 Lava is hot. 🐧🐧 penguins huddle for warmth. 🌊 Waves.",
            "🐧🐧 penguins huddle for warmth.",
        ),
        (
            "en",
            "zero width",
            "Start here. A zero\u200bwidth \u202eword of zero width\u202c hides. End.",
            None,
        ),
    ],
)
async def test_scripts_of_the_world(
    server: Any, kit: Any, language: str, query: str, text: str, expected: str | None
) -> None:
    request = kit.ask(query=query, text=text, language_code=language, options=FAST)
    reply = await server.stub.Summarize(request, timeout=10)
    span = reply.sentences[0].source_span
    assert text[span.start : span.end] == reply.sentences[0].text
    if expected is not None:
        assert reply.summary == expected


@pytest.mark.parametrize("value", [4, 101, -1, 2**31 - 1])
async def test_max_words_out_of_bounds(server: Any, kit: Any, value: int) -> None:
    call = server.stub.Summarize(kit.ask(options=pb.SummarizeOptions(max_words=value)), timeout=10)
    await refused(call, "options.max_words", "5", "100")


@pytest.mark.parametrize("field", ["view", "priority", "tier", "cache_policy"])
async def test_unknown_enum_values(server: Any, kit: Any, field: str) -> None:
    call = server.stub.Summarize(kit.ask(options=pb.SummarizeOptions(**{field: cast(Any, 99)})), timeout=10)
    await refused(call, f"options.{field}", "99")


@pytest.mark.parametrize("tag", ["not a tag", "e", "en_US", "en--US", "ünï", "a" * 36, SECRET])
async def test_language_that_is_no_tag(server: Any, kit: Any, tag: str) -> None:
    await refused(server.stub.Summarize(kit.ask(language_code=tag), timeout=10), "document.language_code", "BCP-47")


@pytest.mark.parametrize("tag", ["en", "de-AT", "zh-Hant-TW", "sr-Latn-RS", "es-419", "de-CH-1996", "x-ours", "en-x-a"])
async def test_language_tags(server: Any, kit: Any, tag: str) -> None:
    assert (await server.stub.Summarize(kit.ask(language_code=tag), timeout=10)).summary


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("request_id", "x" * 129, "128"),
        ("request_id", "line\nbreak", "printable"),
        ("document.title", SECRET * 100, "1,000"),
        ("document.document_id", SECRET * 100, "256"),
    ],
)
async def test_other_strings_out_of_bounds(server: Any, kit: Any, field: str, value: str, bound: str) -> None:
    call = server.stub.Summarize(kit.ask(**{field.removeprefix("document."): value}), timeout=10)
    await refused(call, field, bound)


@pytest.mark.parametrize("count", [0, 101, 10_000])
async def test_batch_size_out_of_bounds(server: Any, kit: Any, count: int) -> None:
    request = pb.BatchSummarizeRequest(requests=[kit.ask(text=SECRET)] * count)
    await refused(server.stub.BatchSummarize(request, timeout=20), "requests", f"{count}", "100")


async def test_stream_without_a_request(server: Any) -> None:
    async def stream() -> None:
        async for _ in server.stub.StreamSummarize(pb.StreamSummarizeRequest(), timeout=10):
            pass

    await refused(stream(), "request.query", "blank")


async def test_unknown_method(server: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.channel.unary_unary("/qdts.v1.SummarizationService/Nothing")(b"", timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_metadata_over_the_limit(server: Any, kit: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.stub.Summarize(kit.ask(), timeout=10, metadata=(("x-large", SECRET * 4000),))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
