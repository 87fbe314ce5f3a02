"""How a front is, as /status of its own operators' port tells the supervisor: GetStatusResponse as JSON."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from google.protobuf.json_format import MessageToJson, Parse, ParseError

from qdts.service.processes.probe import TIMEOUT_S, ask
from qdts.v1 import admin_pb2 as pb


class FrontStatus:
    """Asked in the threads of that port, written in the event loop: nobody else may look at its parts."""

    def __init__(self, write: Callable[[], pb.GetStatusResponse]) -> None:
        self._write = write
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> str | None:
        """None where the loop does not come to it in time. Any other thread's."""
        answer: Future[pb.GetStatusResponse] = Future()
        try:
            self._loop.call_soon_threadsafe(lambda: answer.set_result(self._write()))
        except RuntimeError:  # it has closed
            return None
        try:
            return MessageToJson(answer.result(TIMEOUT_S))
        except TimeoutError:
            return None


def read_statuses(ports: Sequence[int | None]) -> list[pb.GetStatusResponse | None]:
    """What the fronts at these ports say, all asked at once; None for one that does not answer in time. Blocks."""
    if not ports:
        return []
    with ThreadPoolExecutor(len(ports)) as pool:
        return [*pool.map(_read_status, ports)]


def _read_status(port: int | None) -> pb.GetStatusResponse | None:
    said = None if port is None else ask(port, "/status")
    if said is None or said.status != 200:
        return None
    try:
        return Parse(said.text, pb.GetStatusResponse())
    except ParseError:
        return None
