"""Pieces that add up."""

import asyncio

from qdts.service.text_stream import TextStream


async def read(stream: TextStream) -> list[str]:
    return [piece async for piece in stream.pieces()]


async def test_pieces_add_up() -> None:
    stream = TextStream()
    reading = asyncio.ensure_future(read(stream))
    for text in ("One", "One two", "One two three"):
        stream.update(text)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    stream.close()
    assert await reading == ["One", " two", " three"]
    assert stream.rest("One two three.") == "."


async def test_slow_reader_gets_all_at_once() -> None:
    stream = TextStream()
    for text in ("One", "One two", "One two three"):
        stream.update(text)
    stream.close()
    given = await read(stream)
    assert "".join(given) + stream.rest("One two three") == "One two three"


async def test_rewritten_text_is_not_continued() -> None:
    stream = TextStream()
    assert stream.rest("One two") == "One two"
    assert stream.rest("Other") == ""
