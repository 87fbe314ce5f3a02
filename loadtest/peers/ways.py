"""How an engine does a batch: the ways of `base.Way`, of which each system names its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from qdts.loadtest.peers.base import Engine, JoiningEngine, Request, Way, Written


class Desk:
    """An engine, and for Way.PARALLEL the others: one per thread, opened when that way is first prepared."""

    def __init__(self, engine: Engine, open_others: Callable[[], Sequence[Engine]]) -> None:
        self.engine = engine
        self._open_others = open_others
        self._others: Sequence[Engine] = ()

    def prepare(self, way: Way) -> None:
        """Load what the way needs and is not there yet."""
        if way is Way.PARALLEL and not self._others:
            self._others = self._open_others()

    def write_all(self, requests: Sequence[Request], way: Way) -> list[Written]:
        """The answers, in the order of the requests. Nothing is known of the documents yet."""
        if way is Way.PARALLEL:
            return _in_parallel(self._others, requests)
        if way is Way.JOINED:
            return _joined(cast(JoiningEngine, self.engine), requests)
        if way is Way.IN_TURN:
            return _in_turn(self.engine, requests)
        return self.engine.write(self.engine.read(requests), requests)


def _in_turn(engine: Engine, requests: Sequence[Request]) -> list[Written]:
    return [one for request in requests for one in engine.write(engine.read([request]), [request])]


def _joined(engine: JoiningEngine, requests: Sequence[Request]) -> list[Written]:
    return engine.write(engine.join([engine.read([request]) for request in requests]), requests)


def _in_parallel(engines: Sequence[Engine], requests: Sequence[Request]) -> list[Written]:
    number = len(engines)
    shares = [requests[first::number] for first in range(number)]
    with ThreadPoolExecutor(number) as pool:
        found = list(pool.map(_in_turn, engines, shares))
    return [found[index % number][index // number] for index in range(len(requests))]
