"""A front's status, from its event loop through its port to the supervisor."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from qdts.service.admin import AdminEndpoint
from qdts.service.application import Application
from qdts.service.health import State
from qdts.service.metrics import Metrics
from qdts.service.processes import front_status
from qdts.service.processes.config import ProcessesConfig
from qdts.service.processes.front_status import FrontStatus, read_statuses
from qdts.v1 import admin_pb2 as pb


def endpoint(status: Callable[[], str | None] | None) -> AdminEndpoint:
    return AdminEndpoint(
        Metrics(), host="127.0.0.1", port=0, state=lambda: State.READY, problem=lambda: None, status=status
    )


async def test_all_of_it_arrives_and_it_is_written_in_the_loop() -> None:
    status = pb.GetStatusResponse(
        state=pb.SERVER_STATE_READY,
        model_version="m@1",
        classes=[pb.ClassStatus(priority="PRIORITY_BULK", num_inside=7, best_rung="RUNG_SHORTER")],
        costs=[pb.PredictedCost(rung="RUNG_FULL", max_tokens=256, max_batch=4, milliseconds=12.25, num_times=3)],
        cache=pb.CacheState(num_bytes=1 << 40, redis_read=pb.BREAKER_STATE_OPEN),
    )
    threads: list[int] = []

    def write() -> pb.GetStatusResponse:
        threads.append(threading.get_ident())
        return status

    one = endpoint(FrontStatus(write))
    assert await asyncio.to_thread(read_statuses, [one.port, one.port]) == [status, status]
    assert set(threads) == {threading.get_ident()}
    await asyncio.to_thread(one.close)


async def test_who_does_not_answer_keeps_nobody_waiting(monkeypatch: Any) -> None:
    monkeypatch.setattr(front_status, "TIMEOUT_S", 0.1)
    there = endpoint(FrontStatus(lambda: pb.GetStatusResponse(num_running=1)))
    other_loop: list[FrontStatus] = []

    async def begin() -> None:
        other_loop.append(FrontStatus(pb.GetStatusResponse))

    await asyncio.to_thread(lambda: asyncio.run(begin()))  # that loop has closed
    closed, garbled, without = endpoint(other_loop[0]), endpoint(lambda: "{"), endpoint(None)
    ports = [None, there.port, closed.port, garbled.port, without.port, 1]
    assert await asyncio.to_thread(read_statuses, ports) == [
        None,
        pb.GetStatusResponse(num_running=1),
        None,
        None,
        None,
        None,
    ]
    thread = threading.Thread(target=lambda: ports.append(len([s for s in read_statuses([there.port]) if s is None])))
    thread.start()
    time.sleep(1.0)  # the loop's own thread
    await asyncio.to_thread(thread.join)
    assert ports[-1] == 1
    for one in (there, closed, garbled, without):
        await asyncio.to_thread(one.close)


def test_nobody_to_ask_is_no_fault() -> None:
    assert read_statuses([]) == []


async def test_a_front_says_it_and_no_other_server(kit: Any, hosts: Any, serve: Any) -> None:
    _, model = await hosts.engine()
    _, reader = await hosts.front(model)

    async def join(config: Any, on_death: Any) -> Any:
        from qdts.service.processes.connect import connect

        return await connect(config, on_death, load=lambda engine: reader)

    processes = ProcessesConfig(fronts=1, directory=str(hosts.directory))
    front = Application(hosts.config(metrics=kit.Metrics(port=0), processes=processes), join=join)
    await front.start()
    [said] = await asyncio.to_thread(read_statuses, [front.admin_port])
    assert said is not None and (said.state, said.model_version) == (pb.SERVER_STATE_READY, "fake@0123")
    await front.stop()
    server = await serve(metrics=kit.Metrics(port=0))
    assert await asyncio.to_thread(read_statuses, [server.application.admin_port]) == [None]
