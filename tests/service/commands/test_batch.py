"""Order, bounds and bad rows of `qdts batch`, with answers that take their time."""

import argparse
import asyncio
from typing import Any

from qdts.errors import Overloaded
from qdts.service.client.messages import Reply, from_proto
from qdts.service.commands.batch import MAX_IN_FLIGHT, answer_all
from qdts.v1 import summarization_pb2 as pb

ARGS = argparse.Namespace(timeout=1.0, max_words=0, mode="auto")


class SlowFirst:
    """Answers later rows sooner; counts how many it has at once."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.num_now = self.most = 0

    async def summarize(self, query: str, document: Any, **options: Any) -> Reply:
        self.num_now += 1
        self.most = max(self.most, self.num_now)
        await asyncio.sleep(0.001 * (self.num_rows - int(query)))
        self.num_now -= 1
        if int(query) == 5:
            raise Overloaded("busy")
        return from_proto(pb.SummarizeResponse(summary=f"s{query}", rung=pb.RUNG_FULL))


def lines(num_rows: int) -> list[bytes]:
    return [f'{{"id": {i}, "query": "{i}", "doc": "d"}}\n'.encode() for i in range(num_rows)]


async def collect(answering: Any, data: list[bytes]) -> list[dict[str, Any]]:
    return [values async for values in answer_all(answering, data, ARGS)]


async def test_output_has_the_order_of_the_input() -> None:
    rows = await collect(SlowFirst(40), lines(40))
    assert [row["id"] for row in rows] == list(range(40))
    assert rows[4]["summary"] == "s4"


async def test_an_error_stays_in_its_row() -> None:
    rows = await collect(SlowFirst(10), lines(10))
    assert rows[5]["error"] == {"field": "", "problem": "Overloaded: busy"}
    assert [row["id"] for row in rows if "summary" in row] == [0, 1, 2, 3, 4, 6, 7, 8, 9]


async def test_bounds_what_is_in_flight() -> None:
    answering = SlowFirst(100)
    await collect(answering, lines(100))
    assert 1 < answering.most <= MAX_IN_FLIGHT


async def test_blank_lines_are_no_rows_but_count_as_lines() -> None:
    rows = await collect(SlowFirst(1), [b"\n", b"  \n", b"nonsense\n"])
    assert [row["line"] for row in rows] == [3]


async def test_stopping_early_cancels_what_is_in_flight() -> None:
    answering = SlowFirst(1000)
    stream = answer_all(answering, lines(100), ARGS)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
