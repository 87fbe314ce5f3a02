"""A new model that answers a share for real: which share, what becomes of its failures, when it ends."""

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest

from qdts.errors import ConfigError, Conflict, WeightsCorrupt
from qdts.models.document import Document, Summary
from qdts.service.canary import Canary, CanaryConfig, CanaryState, outcome_of, place_of
from qdts.service.health import State
from qdts.service.heartbeat import LifecycleConfig
from qdts.service.metrics import Metrics
from qdts.service.reply import DegradeReason, Reply, Rung
from qdts.service.request import Request
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)
REQUEST = Request(query="q", document=Document(text="A text."), document_sha256="", max_words=30)
REPLY = Reply(summary=Summary(sentences=(), coverage=1.0), rung=Rung.FULL, origin_rung=Rung.FULL)


class House:
    """A server with a stable model and a canary beside it, and a way to ask it."""

    def __init__(self, application: Any, stub: Any, kit: Any, models: dict[str, Any]) -> None:
        self.application, self._stub, self._kit, self.models = application, stub, kit, models
        self.replies: list[pb.SummarizeResponse] = []

    @property
    def canary(self) -> Canary:
        return self.application._canary.canary

    async def ask(self, number: int, **fields: Any) -> pb.SummarizeResponse:
        reply = await self._stub.Summarize(self._kit.ask(text=f"Number {number} is asked.", **fields), timeout=20)
        self.replies.append(reply)
        return reply

    async def ask_many(self, count: int, *, begin: int = 0) -> list[pb.SummarizeResponse]:
        return [await self.ask(number, options=BYPASS) for number in range(begin, begin + count)]

    def value(self, name: str, **labels: str) -> float:
        return self.application.metrics.value(name, **labels)


@pytest.fixture(name="house")
def _house(kit: Any, eventually: Any) -> Callable[..., Any]:
    """`canary` is its model, or the error that its load ends with."""

    @asynccontextmanager
    async def house(canary: Any = None, *, state: Any = CanaryState.RUNNING, **settings: Any) -> AsyncIterator[House]:
        models = {"": kit.Model(version="stable@1"), "new": canary or kit.Model(version="canary@2")}
        del canary
        loads = Counter[str]()

        def load(asked: Any) -> Any:
            loads[asked.model] += 1
            found = models[asked.model]
            if isinstance(found, Exception):
                raise found
            return found

        settings = {"model": "new", "share": 0.5, "min_answers": 20, **settings}
        lifecycle = LifecycleConfig(restart_first_s=0.05, restart_max_s=0.05)
        application = kit.Application(kit.config(canary=CanaryConfig(**settings), lifecycle=lifecycle), load=load)
        await application.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{application.port}") as channel:
            ours = House(application, pb_grpc.SummarizationServiceStub(channel), kit, models)
            await eventually(lambda: ours.canary.state is state)
            try:
                yield ours
            finally:
                await application.stop()

    return house


def test_a_question_always_stands_at_the_same_place_and_they_are_spread() -> None:
    requests = [replace(REQUEST, document_sha256=f"{number:064x}") for number in range(4000)]
    places = [place_of(request) for request in requests]
    assert places == [place_of(request) for request in requests]
    assert all(0 <= place < 1 for place in places)
    for share in (0.01, 0.1, 0.5):
        assert sum(place < share for place in places) / 4000 == pytest.approx(share, abs=0.025)
    assert place_of(REQUEST) != place_of(replace(REQUEST, query="other"))


@pytest.mark.parametrize(
    ("rung", "reasons", "outcome"),
    [
        (Rung.FULL, (), "good"),
        (Rung.EXTRACTIVE, (DegradeReason.GUARD_REJECTED,), "guard_rejected"),
        (Rung.EXTRACTIVE, (DegradeReason.ENGINE_FAILED,), "failed"),
        (Rung.EXTRACTIVE, (DegradeReason.DEADLINE_MISSED,), "late"),
        (Rung.LEAD, (DegradeReason.DEADLINE_SHORT,), "late"),
        (Rung.PASSAGES, (DegradeReason.DEADLINE_SHORT,), "degraded"),
        (Rung.EXTRACTIVE, (DegradeReason.OVERLOADED,), "degraded"),
        (Rung.SHORTER, (DegradeReason.CANARY,), "degraded"),
    ],
)
def test_what_became_of_an_answer(rung: Rung, reasons: tuple[DegradeReason, ...], outcome: str) -> None:
    assert outcome_of(replace(REPLY, rung=rung, origin_rung=rung, reasons=reasons)) == outcome


@pytest.mark.parametrize(("stable_bad", "is_stopped"), [(0, True), (4, False)])
def test_it_is_stopped_for_being_worse_and_not_for_a_bad_day_of_both(stable_bad: int, is_stopped: bool) -> None:
    """Both late in one answer of five is the machine's fault or the callers'."""
    ended: list[bool] = []
    config = CanaryConfig(model="new", min_answers=20, max_worse=0.1)
    canary = Canary(config, Metrics().second_models, on_end=lambda: ended.append(True))
    for number in range(20):
        canary._note("stable", "late" if number < stable_bad else "good", 0.1)
    for number in range(20):
        canary._note("canary", "late" if number < 4 else "good", 0.1)
    assert (canary.state is CanaryState.STOPPED, bool(ended)) == (is_stopped, is_stopped)
    assert not is_stopped or "20.0% of its answers" in canary.problem


def test_settings_out_of_bounds() -> None:
    wrong: list[dict[str, Any]] = [{"share": 1.1}, {"max_worse": -0.1}, {"min_answers": 0}]
    for settings in wrong:
        with pytest.raises(ConfigError, match=r"canary\."):
            CanaryConfig(**settings)


async def test_its_share_is_its_own_and_the_cache_never_mixes_them(house: Any) -> None:
    async with house() as ours:
        first = [await ours.ask(number) for number in range(100)]
        shares = Counter(reply.model_version for reply in first)
        assert set(shares) == {"stable@1", "canary@2"} and 30 <= shares["canary@2"] <= 70
        again = [await ours.ask(number) for number in range(100)]
        assert {reply.cache_status for reply in again} == {pb.CACHE_STATUS_HIT}
        assert [reply.model_version for reply in again] == [reply.model_version for reply in first]
        for version, model in (("stable@1", "stable"), ("canary@2", "canary")):
            assert ours.value("qdts_model_answers_total", model=model, outcome="good") == shares[version]
            assert ours.value("qdts_model_seconds_count", model=model) == shares[version]
        assert ours.value("qdts_canary_share") == 0.5
        fast = pb.SummarizeOptions(tier=pb.TIER_FAST)
        assert {(await ours.ask(number, options=fast)).model_version for number in range(20)} == {""}
        assert ours.value("qdts_slo_total", outcome="met") == len(ours.replies), "each is counted once"


async def test_what_it_fails_at_the_stable_one_answers_until_it_is_stopped(
    house: Any, kit: Any, eventually: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    async with house() as ours:
        model = weakref.ref(ours.models["new"])
        ours.models["new"].invents = True
        ours.models["new"] = None
        replies = await ours.ask_many(100)
        assert {(reply.rung, reply.model_version) for reply in replies} == {(pb.RUNG_FULL, "stable@1")}
        assert ours.canary.state is CanaryState.STOPPED
        rejected = ours.value("qdts_model_answers_total", model="canary", outcome="guard_rejected")
        assert rejected == 20, "from then on it was asked no more"
        assert ours.value("qdts_canary_share") == 0
        assert '"event": "canary_stopped"' in capfd.readouterr().err
        await eventually(lambda: gc.collect() >= 0 and model() is None)
        assert ours.application.health.state is State.READY


async def test_a_negative_entry_of_its_own_keeps_no_stable_answer_away(house: Any) -> None:
    async with house(share=1.0, min_answers=500) as ours:
        ours.models["new"].invents = True
        for _ in range(2):  # the second time it is known that the canary cannot
            reply = await ours.ask(1)
            assert (reply.rung, reply.model_version) in {(pb.RUNG_FULL, "stable@1"), (pb.RUNG_CACHE, "stable@1")}
        assert ours.value("qdts_model_answers_total", model="canary", outcome="guard_rejected") == 1


async def test_one_that_is_too_slow_is_stopped(house: Any, kit: Any, in_use: Any) -> None:
    async with house(share=1.0, min_answers=5) as ours:
        in_use(ours._stub)
        ours.models["new"].gate.clear()
        requests = [kit.ask(text=f"Number {number} is asked.", options=BYPASS) for number in range(8)]
        try:
            replies = await asyncio.gather(*(ours._stub.Summarize(request, timeout=3) for request in requests))
        finally:
            ours.models["new"].gate.set()
        assert all(reply.summary for reply in replies)
        assert ours.canary.state is CanaryState.STOPPED
        assert "late" in ours.canary.problem
        assert (await ours.ask(100, options=BYPASS)).model_version == "stable@1"


async def test_one_that_cannot_be_loaded_changes_nothing(house: Any) -> None:
    async with house(WeightsCorrupt("model.onnx differs"), state=CanaryState.FAILED) as ours:
        assert ours.canary.problem == "model.onnx differs"
        assert {reply.model_version for reply in await ours.ask_many(10)} == {"stable@1"}
        assert ours.application.health.state is State.READY


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_while_its_engine_is_away_the_stable_one_answers_and_health_is_well(
    house: Any, kit: Any, eventually: Any
) -> None:
    async with house(share=1.0) as ours:
        broken, ours.models["new"] = ours.models["new"], WeightsCorrupt("not yet")
        broken.step_error = SystemExit()
        assert (await ours.ask(1, options=BYPASS)).model_version == "stable@1"
        await eventually(lambda: ours.canary.state is CanaryState.DOWN)
        assert {reply.model_version for reply in await ours.ask_many(10)} == {"stable@1"}
        assert ours.application.health.state is State.READY
        assert ours.value("qdts_engine_restarts_total") == 0, "that is the stable one's"
        ours.models["new"] = kit.Model(version="canary@2")
        await eventually(lambda: ours.canary.state is CanaryState.RUNNING)
        assert (await ours.ask(2, options=BYPASS)).model_version == "canary@2"


@pytest.mark.parametrize(("words", "outcome"), [(None, "same"), (2, "different")])
async def test_whether_they_agree_is_counted(house: Any, eventually: Any, words: int | None, outcome: str) -> None:
    async with house() as ours:
        if words is not None:
            whole = ours.models["new"].prepare
            ours.models["new"].prepare = lambda *parts, max_words, **more: whole(*parts, max_words=words, **more)
        await ours.ask_many(40)
        await eventually(lambda: ours.canary.agreement[outcome] > 0)
        assert sum(ours.canary.agreement.values()) == ours.canary.agreement[outcome]
        assert ours.value("qdts_canary_agreement_total", outcome=outcome) == ours.canary.agreement[outcome]
        num_compared = ours.value("qdts_second_length_ratio_count", model="canary")
        assert num_compared == ours.value("qdts_second_source_overlap_count", model="canary")
        assert num_compared == ours.canary.agreement[outcome]
        at_most_half = ours.value("qdts_second_length_ratio_bucket", model="canary", le="0.75")
        assert at_most_half == (num_compared if words else 0)


@pytest.mark.parametrize("by_hangup", [False, True])
async def test_promoted_under_load_it_answers_everything_and_nobody_fails(
    house: Any, eventually: Any, by_hangup: bool
) -> None:
    async with house(share=0.2, promote_on_hangup=by_hangup) as ours:
        end = asyncio.Event()

        async def caller(begin: int) -> None:
            number = begin
            while not end.is_set():
                number += 1
                assert (await ours.ask(number, options=BYPASS)).rung == pb.RUNG_FULL

        callers = [asyncio.ensure_future(caller(1_000_000 * number)) for number in range(4)]
        await eventually(lambda: ours.canary.records["canary"].num_answers > 5)
        if by_hangup:
            ours.application.swap_model()
        else:
            ours.application.promote_canary()
        await eventually(lambda: ours.canary.state is CanaryState.PROMOTED)
        at = len(ours.replies)
        await eventually(lambda: len(ours.replies) > at + 30)
        end.set()
        await asyncio.gather(*callers)
        assert {reply.model_version for reply in ours.replies[at + 10 :]} == {"canary@2"}
        costs = ours.application._servicer.answerer.ladder.admission.costs.known()
        assert any(cost.num_times > 5 for cost in costs), "what the canary learned is its own"


async def test_hangup_without_that_setting_is_a_swap(house: Any, eventually: Any) -> None:
    async with house() as ours:
        ours.application.swap_model()
        await eventually(lambda: ours.application._host.last_swap.ended.is_set())
        assert ours.canary.state is CanaryState.RUNNING
        assert ours.application._servicer.answerer.version == "stable@1"


async def test_stopped_by_an_operator(house: Any) -> None:
    async with house() as ours:
        ours.application.stop_canary()
        assert {reply.model_version for reply in await ours.ask_many(20)} == {"stable@1"}
        for action in (ours.application.stop_canary, ours.application.promote_canary):
            with pytest.raises(Conflict):
                action()
        assert (await ours.application.status()).canary.problem == "by an operator"
