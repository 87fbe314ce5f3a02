"""Every way answers every request, in order, by the engines that it should."""

import threading
from collections.abc import Sequence

import pytest

from qdts.loadtest.peers.base import Request, Way, Written
from qdts.loadtest.peers.ways import Desk

Ids = list[list[int]]


class Echo:
    """Repeats what it read, and logs the sizes of its calls."""

    def __init__(self) -> None:
        self.log: list[tuple[str, int]] = []
        self.threads: set[int] = set()

    def read(self, requests: Sequence[Request]) -> Ids:
        self.log.append(("read", len(requests)))
        self.threads.add(threading.get_ident())
        return [request.encoder_ids.tolist() for request in requests]

    def write(self, known: Ids, requests: Sequence[Request]) -> list[Written]:
        self.log.append(("write", len(requests)))
        return [Written(tokens=ids, num_steps=1) for ids in known]

    def join(self, parts: Sequence[Ids]) -> Ids:
        self.log.append(("join", len(parts)))
        return [ids for part in parts for ids in part]


LOGS = {
    Way.WHOLE: [("read", 8), ("write", 8)],
    Way.JOINED: [*[("read", 1)] * 8, ("join", 8), ("write", 8)],
    Way.IN_TURN: [("read", 1), ("write", 1)] * 8,
    Way.PARALLEL: [],
}


@pytest.mark.parametrize("way", list(Way))
def test_requests_are_answered_in_order(way: Way, batch: tuple[Request, ...]) -> None:
    first, others = Echo(), [Echo(), Echo(), Echo()]
    desk = Desk(first, lambda: others)
    desk.prepare(way)
    assert [one.tokens for one in desk.write_all(batch, way)] == [one.encoder_ids.tolist() for one in batch]
    assert first.log == LOGS[way]
    if way is Way.PARALLEL:
        assert [len(other.log) for other in others] == [6, 6, 4]
        assert threading.get_ident() not in set[int]().union(*(other.threads for other in others))


def test_others_are_opened_once_and_only_for_their_way(batch: tuple[Request, ...]) -> None:
    opened: list[Echo] = []

    def open_others() -> list[Echo]:
        opened.extend([Echo(), Echo()])
        return opened

    desk = Desk(Echo(), open_others)
    desk.prepare(Way.WHOLE)
    assert opened == []
    for _ in range(2):
        desk.prepare(Way.PARALLEL)
    assert len(opened) == 2
