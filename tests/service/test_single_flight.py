"""One piece of work for all who ask the same."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from qdts.models.document import Document, Summary
from qdts.service.deadline import Deadline
from qdts.service.reply import DegradeReason, Reply, Rung
from qdts.service.request import Priority, Request
from qdts.service.single_flight import SingleFlight
from qdts.v1 import summarization_pb2 as pb

CUT_SHORT = Reply(
    summary=Summary(sentences=(), coverage=1.0),
    rung=Rung.EXTRACTIVE,
    origin_rung=Rung.EXTRACTIVE,
    reasons=(DegradeReason.DEADLINE_SHORT,),
)


class Work:
    """Counts its runs; ends when told."""

    def __init__(self) -> None:
        self.num_runs = 0
        self.num_cancelled = 0
        self.go = asyncio.Event()

    async def __call__(self, tell: Callable[[str], None]) -> int:
        self.num_runs += 1
        tell("piece")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        return self.num_runs


async def test_thousand_callers_one_run() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    callers = [asyncio.ensure_future(flights.join("k", work, timeout_s=5)) for _ in range(1000)]
    await asyncio.sleep(0)
    work.go.set()
    assert set(await asyncio.gather(*callers)) == {1}
    assert work.num_runs == 1
    assert "k" not in flights


async def test_cancelled_leader_leaves_the_work_to_the_others() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    leader, follower = (asyncio.ensure_future(flights.join("k", work, timeout_s=5)) for _ in range(2))
    await asyncio.sleep(0.01)
    leader.cancel()
    await asyncio.sleep(0.01)
    assert not follower.done()
    work.go.set()
    assert await follower == 1
    assert (work.num_runs, work.num_cancelled) == (1, 0)


async def test_work_is_cancelled_with_the_last_caller() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    callers = [asyncio.ensure_future(flights.join("k", work, timeout_s=5)) for _ in range(3)]
    await asyncio.sleep(0.01)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert "k" not in flights
    await asyncio.sleep(0.01)
    assert work.num_cancelled == 1


async def test_newcomer_starts_anew_while_the_old_work_is_being_cancelled() -> None:
    flights: SingleFlight[int] = SingleFlight()
    old, new = Work(), Work()
    first = asyncio.ensure_future(flights.join("k", old, timeout_s=5))
    await asyncio.sleep(0.01)
    first.cancel()
    new.go.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await flights.join("k", new, timeout_s=5) == 1


async def test_timeout_is_the_callers_own() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    patient = asyncio.ensure_future(flights.join("k", work, timeout_s=5))
    with pytest.raises(TimeoutError):
        await flights.join("k", work, timeout_s=0.01)
    work.go.set()
    assert await patient == 1


async def test_failure_reaches_all_and_is_forgotten() -> None:
    flights: SingleFlight[int] = SingleFlight()

    async def fail(tell: Callable[[str], None]) -> int:
        await asyncio.sleep(0.01)
        raise KeyError("no")

    outcomes = await asyncio.gather(*(flights.join("k", fail, timeout_s=5) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [KeyError] * 3
    assert "k" not in flights


async def test_pieces_reach_every_listener() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work, heard = Work(), list[str]()
    work.go.set()
    await asyncio.gather(*(flights.join("k", work, timeout_s=5, listener=heard.append) for _ in range(3)))
    assert heard == ["piece"] * 3


async def test_thousand_identical_misses_over_grpc_are_one_model_call(serve: Any, kit: Any) -> None:
    server = await serve(server=kit.Listen(port=0, drain_delay_s=0.0, max_calls_per_peer=0))
    server.model.gate.clear()
    calls = [asyncio.ensure_future(server.stub.Summarize(kit.ask(), timeout=30)) for _ in range(1000)]
    while server.application.metrics.value("qdts_calls_total") or server.model.num_steps == 0:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    server.model.gate.set()
    replies = await asyncio.gather(*calls)
    assert server.model.num_starts == 1
    assert len({reply.summary for reply in replies}) == 1
    statuses = {reply.cache_status for reply in replies}
    assert pb.CACHE_STATUS_SHARED in statuses and pb.CACHE_STATUS_MISS in statuses


async def test_cancelled_leader_over_grpc_fails_no_follower(server: Any, kit: Any, eventually: Any) -> None:
    server.model.gate.clear()
    leader = server.stub.Summarize(kit.ask(), timeout=10)
    await eventually(lambda: server.model.num_steps == 1)
    followers = [asyncio.ensure_future(server.stub.Summarize(kit.ask(), timeout=10)) for _ in range(10)]
    await asyncio.sleep(0.2)
    leader.cancel()
    await asyncio.sleep(0.1)
    server.model.gate.set()
    for reply in await asyncio.gather(*followers):
        assert reply.rung == pb.RUNG_FULL
    assert (server.model.num_starts, server.model.num_cancelled) == (1, 0)


async def test_follower_with_more_time_is_not_cut_short_with_the_leader(
    server: Any, kit: Any, eventually: Any, in_use: Any
) -> None:
    in_use(server.stub)
    server.model.gate.clear()
    hasty = server.stub.Summarize(kit.ask(), timeout=1)
    await eventually(lambda: server.model.num_steps == 1)
    patient = asyncio.ensure_future(server.stub.Summarize(kit.ask(), timeout=10))
    assert (await hasty).rung == pb.RUNG_EXTRACTIVE
    server.model.gate.set()
    assert (await patient).rung == pb.RUNG_FULL


async def test_follower_with_less_time_leaves_earlier(server: Any, kit: Any, eventually: Any, in_use: Any) -> None:
    in_use(server.stub)
    server.model.gate.clear()
    patient = asyncio.ensure_future(server.stub.Summarize(kit.ask(), timeout=10))
    await eventually(lambda: server.model.num_steps == 1)
    hasty = await server.stub.Summarize(kit.ask(), timeout=1)
    assert hasty.rung == pb.RUNG_EXTRACTIVE
    assert list(hasty.degrade_reasons) == [pb.DEGRADE_REASON_DEADLINE_MISSED]
    server.model.gate.set()
    assert (await patient).rung == pb.RUNG_FULL


async def test_a_call_that_finds_a_flight_just_ended_does_not_join_it_for_ever(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes in the turn of the event loop in which the flight ended, and cannot use what that has made."""
    answerer = (await serve()).application._servicer.answerer._answerer
    ended = asyncio.get_running_loop().create_future()
    climbs, joins = list[Reply](), 0
    join = answerer._flights.join

    async def climb(*args: Any, **options: Any) -> Reply:
        climbs.append(CUT_SHORT)
        if len(climbs) == 1:
            await ended
        return climbs[-1]

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal joins
        joins += 1
        assert joins < 20, "again and again"
        return join(*args, **options)

    monkeypatch.setattr(answerer._ladder, "climb", climb)
    monkeypatch.setattr(answerer._ladder, "model_deadline", lambda request, deadline: deadline.sooner(60))
    monkeypatch.setattr(answerer._flights, "join", counted)
    request = Request(query="q", document=Document(text="A text."), document_sha256="", max_words=30)
    leader = asyncio.ensure_future(answerer.answer(request, Deadline.after(20)))
    await asyncio.sleep(0.01)
    ended.set_result(None)  # the flight's task is woken next, then a call that has just come
    newcomer = asyncio.ensure_future(answerer.answer(request, Deadline.after(40)))
    await asyncio.gather(leader, newcomer)
    assert len(climbs) == 2


async def test_no_call_waits_behind_one_of_a_lower_class(serve: Any, kit: Any, eventually: Any) -> None:
    server = await serve()
    server.model.gate.clear()

    def ask(text: str, priority: pb.Priority) -> Any:
        return asyncio.ensure_future(
            server.stub.Summarize(kit.ask(text=text, options=pb.SummarizeOptions(priority=priority)), timeout=20)
        )

    first = ask("Whatever is written.", pb.PRIORITY_INTERACTIVE)
    engine = server.application._host.serving.engine
    await eventually(lambda: server.model.num_steps == 1)
    bulk = ask("The same is asked.", pb.PRIORITY_BULK)
    await eventually(lambda: engine.num_by_class[Priority.BULK] == 1)
    interactive = ask("The same is asked.", pb.PRIORITY_INTERACTIVE)
    await eventually(lambda: engine.num_by_class[Priority.INTERACTIVE] == 1)
    follower = ask("The same is asked.", pb.PRIORITY_PREFETCH)
    server.model.gate.set()
    replies = await asyncio.gather(first, bulk, interactive, follower)
    assert [reply.rung for reply in replies] == [pb.RUNG_FULL] * 4
    assert replies[3].cache_status == pb.CACHE_STATUS_SHARED, "of the higher class"
