"""A log that nobody reads: calls go on, and what was lost is told later."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qdts.service import logs
from qdts.service.log_stream import StandardError


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    before = logs.configure("info")
    yield
    logs.configure(before)


@pytest.fixture(name="pipe")
def _pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """pipe(): makes standard error a pipe, from within a test; its reader's end, which does not wait."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    monkeypatch.setattr(StandardError, "num_dropped", 0)
    with os.fdopen(writer, "w") as stream:

        def start() -> int:
            monkeypatch.setattr(sys, "stderr", stream)
            return reader

        yield start
        monkeypatch.undo()
    os.close(reader)


def read_lines(reader: int) -> list[Any]:
    data = b""
    while True:
        try:
            data += os.read(reader, 1 << 20)
        except BlockingIOError:
            return [json.loads(line) for line in data.splitlines()]


def test_a_pipe_that_is_full_holds_nobody_up_and_is_told_of(pipe: Callable[[], int]) -> None:
    reader = pipe()
    for number in range(5000):  # some ten times what a pipe takes: without the look before it, this never ends
        logs.info("call", number=number, padding="x" * 64)
    kept = read_lines(reader)
    assert [line["number"] for line in kept] == [*range(len(kept))] and 0 < len(kept) < 5000
    logs.info("again")
    told, again = read_lines(reader)
    assert (told["event"], told["num"]) == ("log_lines_dropped", 5000 - len(kept))
    assert again["event"] == "again"
    logs.info("once")
    assert [line["event"] for line in read_lines(reader)] == ["once"]


def test_a_stream_in_memory_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.info("kept")
    assert json.loads(stream.getvalue())["event"] == "kept"
