"""Another model in the stead of the one that answers, and an engine that died: nobody's call fails."""

import asyncio
import gc
import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from qdts.errors import Conflict, WeightsCorrupt
from qdts.service.health import State
from qdts.service.heartbeat import LifecycleConfig, Since
from qdts.service.hosting import ModelHost, Stage, SwapState
from qdts.service.metrics import Metrics
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)
SOON = LifecycleConfig(restart_first_s=0.1, restart_max_s=0.1)


class House:
    """A server whose loads come from a list, and clients that never stop asking."""

    def __init__(self, kit: Any, loads: list[Any], **sections: Any) -> None:
        self.kit, self.loads, self.num_loads = kit, loads, 0
        self.application = kit.Application(kit.config(lifecycle=SOON, **sections), load=self.load)
        self.replies: list[pb.SummarizeResponse] = []

    def load(self, config: object) -> Any:
        found = self.loads[min(self.num_loads, len(self.loads) - 1)]
        self.num_loads += 1
        if isinstance(found, Exception):
            raise found
        return found

    @asynccontextmanager
    async def under_load(self, num_clients: int = 8) -> AsyncIterator[None]:
        """Within the block everybody asks; a call that fails fails the block."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.application.port}") as channel:
            stub: Any = pb_grpc.SummarizationServiceStub(channel)
            end = asyncio.Event()

            async def ask(name: int) -> None:
                while not end.is_set():
                    text = f"Client {name} asks for the time {len(self.replies)}. More."
                    self.replies.append(await stub.Summarize(self.kit.ask(text=text, options=BYPASS), timeout=10))

            clients = [asyncio.ensure_future(ask(name)) for name in range(num_clients)]
            yield
            await asyncio.sleep(0.2)
            end.set()
            await asyncio.gather(*clients)

    @property
    def versions(self) -> Counter[str]:
        return Counter(reply.model_version for reply in self.replies)


@asynccontextmanager
async def house(kit: Any, *loads: Any, **sections: Any) -> AsyncIterator[House]:
    made = House(kit, [*loads], **sections)
    del loads  # or a model that was let go would still be held here
    await made.application.start()
    try:
        yield made
    finally:
        await made.application.stop()


def engine_threads() -> int:
    return sum(thread.name == "engine" for thread in threading.enumerate())


async def test_swap_under_load_fails_nobody_and_every_reply_is_one_models(kit: Any, eventually: Any) -> None:
    old, new = kit.Model(version="old@1", step_s=0.002), kit.Model(version="new@2", step_s=0.002)
    async with house(kit, old, new, engine=kit.Engine(max_batch=4)) as running:
        async with running.under_load():
            await eventually(lambda: len(running.replies) > 20)
            running.application.swap_model()
            await eventually(lambda: running.versions["new@2"] > 20)
        assert {reply.rung for reply in running.replies} == {pb.RUNG_FULL}
        assert set(running.versions) == {"old@1", "new@2"}
        assert running.application.health.state is State.READY
        await eventually(lambda: engine_threads() == 1)  # the old one's has ended


async def test_model_that_was_replaced_is_let_go(kit: Any, eventually: Any) -> None:
    async with house(kit, kit.Model(version="old@1"), kit.Model(version="new@2")) as running:
        old = weakref.ref(running.loads[0])
        running.loads[0] = None
        async with running.under_load(2):
            running.application.swap_model()
            await eventually(lambda: running.versions["new@2"] > 2)
        await eventually(lambda: gc.collect() >= 0 and old() is None)


async def test_stop_in_the_midst_of_a_swap_waits_for_no_load(kit: Any, eventually: Any) -> None:
    slow = kit.Model(version="slow@3")
    slow.gate.clear()  # its warm-up hangs
    async with house(kit, kit.Model(), slow) as running:
        running.application.swap_model()
        await eventually(lambda: running.num_loads == 2)
        asyncio.get_running_loop().call_later(0.2, slow.gate.set)
        async with asyncio.timeout(3):
            await running.application.stop()
        assert engine_threads() == 0


async def test_nothing_is_swapped_during_a_drain_nor_after(kit: Any, capfd: pytest.CaptureFixture[str]) -> None:
    async with house(kit, kit.Model(version="old@1"), kit.Model(version="new@2")) as running:
        application = running.application
        drain = application._server.drain

        async def drain_with_a_signal() -> None:
            await application.health.become(State.DRAINING)
            application.swap_model()
            await drain()

        application._server.drain = drain_with_a_signal
        await application.stop()
        assert application._host.last_swap is None and '"event": "swap_ignored"' in capfd.readouterr().err
        swap = application._host.swap()
        await asyncio.wait_for(swap.ended.wait(), 20)
        assert (swap.state, swap.problem) == (SwapState.FAILED, "the server is about to exit")
        assert running.num_loads == 1 and engine_threads() == 0


async def test_swap_before_the_first_model_is_no_swap(
    kit: Any, eventually: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """What it had put in place, the start would replace; and that has not asked yet what engine.model names."""
    running = House(kit, [kit.Model(version="first@1"), kit.Model(version="second@2")])
    application, is_open = running.application, asyncio.Event()
    open_caches = application._caches.open

    async def open_late() -> None:
        await is_open.wait()
        await open_caches()

    application._caches.open = open_late
    starting = asyncio.ensure_future(application.start())
    await eventually(lambda: application.health.state is State.LOADING)
    application.swap_model()
    with pytest.raises(Conflict, match="only begun to start"):
        application.swap("second")
    assert application._host.last_swap is None and '"event": "swap_ignored"' in capfd.readouterr().err
    is_open.set()
    await starting
    assert application.health.state is State.READY
    assert application._servicer.answerer.version == "first@1" and running.num_loads == 1
    await application.stop()


async def test_swap_while_the_first_model_is_loaded_comes_after_it(kit: Any, eventually: Any) -> None:
    first = kit.Model(version="first@1")
    first.gate.clear()  # its warm-up waits
    running = House(kit, [first, kit.Model(version="second@2")])
    starting = asyncio.ensure_future(running.application.start())
    await eventually(lambda: running.num_loads == 1)
    swap = running.application.swap(None)
    first.gate.set()
    await starting
    await asyncio.wait_for(swap.ended.wait(), 20)
    assert running.application._servicer.answerer.version == swap.version == "second@2"
    await running.application.stop()


async def test_replies_of_the_model_before_are_not_found_in_the_cache(kit: Any, eventually: Any) -> None:
    async with house(kit, kit.Model(version="old@1"), kit.Model(version="new@2")) as running:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.application.port}") as channel:
            stub: Any = pb_grpc.SummarizationServiceStub(channel)
            for expected in (pb.CACHE_STATUS_MISS, pb.CACHE_STATUS_HIT):
                reply = await stub.Summarize(kit.ask(), timeout=5)
                assert (reply.cache_status, reply.model_version) == (expected, "old@1")
            running.application.swap_model()
            await eventually(lambda: running.application._servicer.answerer.version == "new@2")
            reply = await stub.Summarize(kit.ask(), timeout=5)
            assert (reply.cache_status, reply.model_version) == (pb.CACHE_STATUS_MISS, "new@2")


@pytest.mark.parametrize("is_broken", [False, True], ids=["cannot be loaded", "fails its warm-up"])
async def test_swap_that_fails_leaves_all_as_it_is(
    kit: Any, eventually: Any, capfd: pytest.CaptureFixture[str], is_broken: bool
) -> None:
    bad = kit.Model(start_error=RuntimeError("secret text")) if is_broken else WeightsCorrupt("model.onnx differs")
    async with house(kit, kit.Model(version="old@1"), bad) as running:
        async with running.under_load(2):
            running.application.swap_model()
            await eventually(lambda: running.num_loads == 2)
            await eventually(lambda: not running.application._host._tasks)
        assert set(running.versions) == {"old@1"}
        assert engine_threads() == 1
        err = capfd.readouterr().err
        assert '"event": "model_swap_failed"' in err and "secret text" not in err


async def test_gauges_tell_of_what_answers_whatever_becomes_of_a_swap(kit: Any, eventually: Any) -> None:
    old, hanging = kit.Model(version="old@1"), kit.Model(version="new@2", start_error=RuntimeError("no"))
    hanging.gate.clear()
    async with house(kit, old, hanging) as running:
        value = running.application.metrics.value
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.application.port}") as channel:
            stub: Any = pb_grpc.SummarizationServiceStub(channel)
            old.gate.clear()
            calls = [stub.Summarize(kit.ask(text=f"Ask {n}.", options=BYPASS), timeout=30) for n in range(4)]
            await eventually(lambda: value("qdts_queue_length") == 3)
            running.application.swap_model()
            await eventually(lambda: running.num_loads == 2 and not running.application._host._tasks)
            assert value("qdts_queue_length") == 3
            assert value("qdts_concurrency_limit") == 1 + kit.Engine().max_queue
            old.gate.set()
            await asyncio.gather(*calls)
            assert value("qdts_queue_length") == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_what_was_learned_outlives_the_engine_and_the_model(kit: Any, eventually: Any) -> None:
    first, again, other = kit.Model(version="m@1", step_s=0.01), kit.Model(version="m@1"), kit.Model(version="n@2")
    async with house(kit, first, again, other) as running:
        learned = running.application._builder.learned

        def known() -> dict[str, int]:
            costs = running.application._servicer.answerer.ladder.admission.costs.known()
            return {cost.rung.name: cost.num_times for cost in costs}

        async with running.under_load(1):
            await eventually(lambda: len(running.replies) > 10)
        times = known()["FULL"]
        assert times > 10
        first.step_error = SystemExit()
        async with running.under_load(1):
            await eventually(lambda: running.num_loads == 2 and running.application.health.state is State.READY)
        assert known()["FULL"] >= times, "of the same model: its own times"
        running.application.swap_model()
        await eventually(lambda: running.application._servicer.answerer.version == "n@2")
        assert known()["FULL"] == 0, "of another: what was predicted, and no times"
        assert running.application._servicer.answerer.ladder.admission.learned is learned
        assert learned.inside.total() == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_engine_killed_under_load_comes_back_and_nobody_fails(kit: Any, eventually: Any) -> None:
    first, second = kit.Model(version="m@1", step_s=0.002), kit.Model(version="m@1", step_s=0.002)
    async with house(kit, first, WeightsCorrupt("not yet"), second) as running:
        async with running.under_load():
            await eventually(lambda: len(running.replies) > 20)
            first.step_error = SystemExit()  # ends the thread, as nothing else does
            await eventually(lambda: running.application.health.state is State.ENGINE_DOWN)
            at = len(running.replies)
            await eventually(lambda: len(running.replies) > at + 20)
            away = running.replies[at : at + 20]
            await eventually(lambda: running.application.health.state is State.READY)
            at = len(running.replies)
            await eventually(lambda: len(running.replies) > at + 40)
        assert pb.RUNG_EXTRACTIVE in {reply.rung for reply in away}
        assert all(reply.summary for reply in running.replies)
        assert running.replies[-1].rung == pb.RUNG_FULL
        assert running.application.metrics.value("qdts_engine_restarts_total") == 2
        assert running.application.liveness.engine_away.seconds == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_swap_replaces_an_engine_that_is_away(kit: Any, eventually: Any) -> None:
    first = kit.Model()
    slow = LifecycleConfig(restart_first_s=3600, restart_max_s=3600)
    running = House(kit, [first, kit.Model(version="new@2")])
    running.application = kit.Application(kit.config(lifecycle=slow), load=running.load)
    await running.application.start()
    first.step_error = SystemExit()
    async with running.under_load(1):
        await eventually(lambda: running.application.health.state is State.ENGINE_DOWN)
        running.application.swap_model()
        await eventually(lambda: running.application.health.state is State.READY)
    await running.application.stop()
    assert running.replies[-1].model_version == "new@2"


class FakeServing:
    is_whole, version = True, "m@1"

    async def retire(self, *, within_s: float) -> None: ...

    async def close(self) -> None: ...


async def test_each_restart_waits_twice_as_long_up_to_a_bound(eventually: Any) -> None:
    waited: list[float] = []
    deaths: list[Callable[[], None]] = []
    told: list[bool] = []

    async def build(model: str | None, on_death: Callable[[], None]) -> Any:
        deaths.append(on_death)
        if 1 < len(deaths) < 7:
            raise RuntimeError("device lost")
        return FakeServing()

    async def warm_up(serving: Any) -> None: ...

    async def tell(is_whole: bool) -> None:
        told.append(is_whole)

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    stage = Stage(build=build, warm_up=warm_up, show=lambda serving: None, tell=tell)
    away = Since()
    host = ModelHost(stage, LifecycleConfig(restart_first_s=1, restart_max_s=5), Metrics(), away, sleep=sleep)
    await host.start()
    deaths[0]()
    assert away.seconds > 0
    await eventually(lambda: told == [False, True])
    assert waited == [1, 2, 4, 5, 5, 5]
    assert away.seconds == 0
    deaths[0]()  # of one that is no more in service: nobody's loss
    await host.close()
    assert told == [False, True]
