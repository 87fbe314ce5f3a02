"""When parts break: every call is still answered, and says why not better."""

import asyncio
from typing import Any

import grpc
import pytest

from qdts.v1 import summarization_pb2 as pb

BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)


async def test_failed_generation_falls_back_and_the_next_works(server: Any, kit: Any) -> None:
    server.model.start_error = RuntimeError("boom: secret text")
    reply = await server.stub.Summarize(kit.ask(options=BYPASS), timeout=10)
    assert reply.rung == pb.RUNG_EXTRACTIVE
    assert list(reply.degrade_reasons) == [pb.DEGRADE_REASON_ENGINE_FAILED]
    server.model.start_error = None
    assert (await server.stub.Summarize(kit.ask(), timeout=10)).rung == pb.RUNG_FULL


async def test_fault_is_logged_by_place_and_never_by_message(
    server: Any, kit: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    server.model.step_error = ValueError("boom: secret text")
    await server.stub.Summarize(kit.ask(options=BYPASS), timeout=10)
    err = capfd.readouterr().err
    assert '"error": "ValueError"' in err and "conftest.py" in err
    assert "secret text" not in err


async def test_degraded_replies_are_not_cached(server: Any, kit: Any) -> None:
    server.model.step_error = ValueError("boom")
    await server.stub.Summarize(kit.ask(), timeout=10)
    server.model.step_error = None
    reply = await server.stub.Summarize(kit.ask(), timeout=10)
    assert (reply.rung, reply.cache_status) == (pb.RUNG_FULL, pb.CACHE_STATUS_MISS)


async def test_unsupported_text_is_withheld(server: Any, kit: Any) -> None:
    server.model.invents = True
    reply = await server.stub.Summarize(kit.ask(), timeout=10)
    assert reply.rung == pb.RUNG_EXTRACTIVE
    assert list(reply.degrade_reasons) == [pb.DEGRADE_REASON_GUARD_REJECTED]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_dead_engine_thread_fails_nobody_and_flips_health(
    server: Any, kit: Any, health: Any, eventually: Any
) -> None:
    assert await health(server) == "SERVING"
    server.model.gate.clear()
    running = [
        server.stub.Summarize(kit.ask(text=f"Number {i} is pending.", options=BYPASS), timeout=10) for i in range(5)
    ]
    await eventually(lambda: len(server.model.prepared) == 5)
    server.model.step_error = SystemExit()  # ends the thread, as nothing else does
    server.model.gate.set()
    for reply in await asyncio.gather(*running):
        assert reply.rung == pb.RUNG_EXTRACTIVE
        assert list(reply.degrade_reasons) == [pb.DEGRADE_REASON_ENGINE_FAILED]
    await eventually(lambda: server.application.health.state.value == "engine_down")
    assert await health(server) == "NOT_SERVING"
    later = await server.stub.Summarize(kit.ask(), timeout=10)
    assert later.rung == pb.RUNG_EXTRACTIVE


async def test_poisonous_documents_do_not_end_the_engine(server: Any, kit: Any, health: Any) -> None:
    for _ in range(4):
        server.model.poison = "poison"
        reply = await server.stub.Summarize(kit.ask(text="poison here. More.", options=BYPASS), timeout=10)
        assert reply.rung == pb.RUNG_EXTRACTIVE
    assert (await server.stub.Summarize(kit.ask(options=BYPASS), timeout=10)).rung == pb.RUNG_FULL
    assert await health(server) == "SERVING"


async def test_a_document_whose_steps_fail_costs_its_batch_mates_nothing(
    serve: Any, kit: Any, health: Any, eventually: Any
) -> None:
    server = await serve(engine=kit.Engine(max_batch=4))
    server.model.toxic = "Toxic"
    server.model.gate.clear()
    texts = [f"{name} here. More." for name in ("Zero", "One", "Toxic", "Two")]
    calls = [server.stub.Summarize(kit.ask(text=texts[0], options=BYPASS), timeout=10)]
    await eventually(lambda: server.model.num_steps == 1)
    calls += [server.stub.Summarize(kit.ask(text=text, options=BYPASS), timeout=10) for text in texts[1:]]
    await eventually(lambda: server.application.metrics.value("qdts_queue_length") == 3)
    server.model.gate.set()
    replies = await asyncio.gather(*calls)
    full, extractive = pb.RUNG_FULL, pb.RUNG_EXTRACTIVE
    assert [reply.rung for reply in replies] == [full, full, extractive, full]
    assert [reply.summary for reply in replies if reply.rung == full] == ["Zero here.", "One here.", "Two here."]
    assert list(replies[2].degrade_reasons) == [pb.DEGRADE_REASON_ENGINE_FAILED]
    assert max(server.model.step_sizes) == 4 and await health(server) == "SERVING"


async def test_model_that_fails_what_it_once_did_is_given_up(
    server: Any, kit: Any, health: Any, eventually: Any
) -> None:
    server.model.start_error = RuntimeError("device lost")
    for _ in range(3):
        await server.stub.Summarize(kit.ask(options=BYPASS), timeout=10)
    await eventually(lambda: server.application.health.state.value == "engine_down")
    assert await health(server) == "NOT_SERVING"


async def test_full_queue_degrades_instead_of_failing(serve: Any, kit: Any, eventually: Any) -> None:
    server = await serve(engine=kit.Engine(max_queue=2))
    server.model.gate.clear()

    def ask(number: int) -> Any:
        return server.stub.Summarize(kit.ask(text=f"Number {number} is waiting.", options=BYPASS), timeout=10)

    calls = [ask(0)]
    await eventually(lambda: server.model.num_steps == 1)  # it has left the queue
    calls += [ask(number) for number in range(1, 8)]
    await eventually(lambda: sum(call.done() for call in calls) == 5)
    assert len(server.model.prepared) == 3, "the others were sent down the ladder before any work"
    server.model.gate.set()
    replies = await asyncio.gather(*calls)
    assert sum(reply.rung == pb.RUNG_FULL for reply in replies) == 3
    shed = [reply for reply in replies if reply.rung != pb.RUNG_FULL]
    assert all(list(reply.degrade_reasons) == [pb.DEGRADE_REASON_OVERLOADED] for reply in shed)


async def test_unforeseen_error_is_internal_with_the_request_id_only(
    server: Any, kit: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise KeyError("secret text")

    monkeypatch.setattr("qdts.service.servicer.read_request", broken)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.stub.Summarize(kit.ask(request_id="r-42"), timeout=10)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error, request id r-42"
    err = capfd.readouterr().err
    assert '"error": "KeyError"' in err and "r-42" in err
    assert "secret text" not in err


async def test_unforeseen_error_of_one_item_spares_its_mates(
    server: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qdts.service.servicer as servicer

    whole = servicer.read_request

    def broken(message: Any, limits: Any, **kwargs: Any) -> Any:
        if message.query == "bad":
            raise KeyError("secret text")
        return whole(message, limits, **kwargs)

    monkeypatch.setattr(servicer, "read_request", broken)
    items = [kit.ask(), kit.ask(query="bad"), kit.ask()]
    reply = await server.stub.BatchSummarize(pb.BatchSummarizeRequest(requests=items), timeout=10)
    assert [result.WhichOneof("result") for result in reply.results] == ["response", "error", "response"]
    assert reply.results[1].error.code == grpc.StatusCode.INTERNAL.value[0]
    assert "secret" not in reply.results[1].error.message
