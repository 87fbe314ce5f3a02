"""The whole way of a request, answerer to engine, in virtual time: what costs time costs nothing but virtual time.

The event loop's clock jumps to the next event, the engine runs on the loop and sleeps for what its model is said to
take. So a minute of overload takes seconds, and takes the same ones every time.
"""

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from qdts.errors import DeadlineExceeded, Overloaded, QdtsError, Unavailable
from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service.admission_config import AdmissionConfig
from qdts.service.answering import Answerer
from qdts.service.cache import CacheKeys
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.extraction import TextThreads
from qdts.service.ladder import Generator, Ladder, build_admission
from qdts.service.learned import Learned
from qdts.service.metrics import Metrics
from qdts.service.pressure import RUNGS as MODEL_RUNGS
from qdts.service.quotas import QuotaConfig, Quotas
from qdts.service.reply import DegradeReason, Rung
from qdts.service.request import Priority, Request, Tier

PLACES, WORDS, BUDGET_S = 8, 30, 0.4
PREPARE_S, EXTRACT_S, IDLE_S = 0.0005, 0.003, 0.001
TEXT = "The lighthouse was built in 1874. Its lamp could be seen from thirty kilometres. Keepers lived there."


class _Jumping(selectors.DefaultSelector):
    """Does not wait: moves the clock."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen"
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


@dataclass
class SimulatedModel:
    """Known costs in seconds; `spent_s` is what is still to be slept for. A word is a step."""

    clock: Callable[[], float]
    read_s: float = 0.004
    step_s: float = 0.002
    row_s: float = 0.00025
    slowness: float = 1.0
    version: str = "simulated@0"
    info: RuntimeInfo = RuntimeInfo(name="simulated", precision="fp32", device="cpu", num_threads=1)
    spent_s: float = 0.0
    num_steps: int = 0
    num_wasted: int = 0
    is_wanted: dict[str, Callable[[], bool]] = field(default_factory=dict)

    def capacity(self) -> float:
        """Full summaries a second when every place is taken."""
        return 1 / (self.read_s + WORDS * self.step_ms(PLACES) / 1000 / PLACES)

    def step_ms(self, batch: int) -> float:
        return 1000 * (self.step_s + self.row_s * batch)

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> Any:
        return SimpleNamespace(text=document.text, words=max_words, share=0.4 if passages_only else 1.0)

    def num_unread(self, prompt: Any) -> int:
        return 100

    def start(self, prompts: Sequence[Any]) -> "SimulatedGeneration":
        return SimulatedGeneration(self, prompts)


class SimulatedGeneration:
    def __init__(self, model: SimulatedModel, prompts: Sequence[Any]) -> None:
        self._model = model
        self._prompts: dict[int, Any] = {}
        self._left: dict[int, int] = {}
        self._num_opened = 0
        self.join(prompts)

    @property
    def active(self) -> tuple[int, ...]:
        return tuple(index for index, left in self._left.items() if left)

    def join(self, prompts: Sequence[Any]) -> list[int]:
        indices = [self._num_opened + place for place in range(len(prompts))]
        for index, prompt in zip(indices, prompts, strict=True):
            self._model.spent_s += self._model.slowness * self._model.read_s * prompt.share
            self._prompts[index], self._left[index] = prompt, prompt.words
        self._num_opened += len(prompts)
        return indices

    def step(self) -> None:
        model, active = self._model, self.active
        model.spent_s += model.slowness * model.step_ms(len(active)) / 1000
        model.num_steps += len(active)
        for index in active:
            self._left[index] -= 1
            is_wanted = model.is_wanted.get(self._prompts[index].text, lambda: False)
            model.num_wasted += not is_wanted()

    def release(self, index: int) -> None:
        del self._prompts[index], self._left[index]

    def text(self, index: int) -> str:
        return ""

    def encode_ms(self, index: int) -> float:
        return 0.0

    def decode_ms(self, index: int) -> float:
        return 0.0

    def summary(self, index: int) -> Summary:
        sentence = SummarySentence(text=TEXT[:33], source=Span(0, 33))
        share = self._prompts[index].share
        return Summary(sentences=(sentence,), coverage=share, num_input_tokens=100, num_output_tokens=30, num_steps=30)


class VirtualEngine(Engine):
    """The engine's own loop, on the event loop."""

    def start(self, on_death: Callable[[], None], metrics: Metrics | None = None) -> None:
        self._metrics = metrics or self._metrics
        self._life = asyncio.ensure_future(self._live())

    async def _live(self) -> None:
        while True:
            if self._admit(may_wait=False):
                await self._spend()
                self._step()
                await self._spend()
                self._reply()
            else:
                await asyncio.sleep(IDLE_S)

    async def _spend(self) -> None:
        model: Any = self._summarizer
        spent_s, model.spent_s = model.spent_s, 0.0
        await asyncio.sleep(spent_s)

    def stop(self, error: QdtsError, *, timeout_s: float) -> None:
        self._life.cancel()

    def die(self) -> None:
        """As a thread does that ends: who is inside, and who comes, is told."""
        self._life.cancel()
        self._scheduler.close(Unavailable("the engine is down"))
        self._fail_all(Unavailable("the engine is down"))


class VirtualThreads(TextThreads):
    """Two threads for extracts and two for prompts, that sleep for what the work takes."""

    def __init__(self) -> None:
        super().__init__(1)
        self._extracts, self._for_model = asyncio.Semaphore(2), asyncio.Semaphore(2)

    async def run(self, work: Callable[[], Any], deadline: Deadline, *, is_for_model: bool = False) -> Any:
        async with self._for_model if is_for_model else self._extracts:
            if deadline.expired:
                raise DeadlineExceeded("too late")
            await asyncio.sleep(PREPARE_S if is_for_model else EXTRACT_S)
            return work()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one request; times in seconds, `came_at` since the run began."""

    priority: Priority
    came_at: float
    took_s: float
    real_s: float
    rung: Rung | None = None
    reasons: tuple[DegradeReason, ...] = ()
    error: QdtsError | None = None
    is_good: bool = False  # answered by its deadline

    @property
    def is_by_model(self) -> bool:
        return self.is_good and self.rung in MODEL_RUNGS


class Simulation:
    """A service and those who ask it."""

    def __init__(self, loop: VirtualLoop, config: AdmissionConfig, quotas: QuotaConfig) -> None:
        self.clock = loop.time
        self.metrics = Metrics()
        self._config, self._quotas = config, Quotas(quotas, clock=self.clock)
        self._threads = VirtualThreads()
        self.put(SimulatedModel(clock=self.clock))
        self.capacity = self.model.capacity()
        self.began_at = self.clock()
        self.outcomes: list[Outcome] = []
        self._num_asked = 0

    def put(self, model: SimulatedModel, learned: Learned | None = None) -> None:
        """This model answers from now on; what runs on the one before ends there."""
        self.model = model
        self.engine = VirtualEngine(
            model, max_batch=PLACES, max_queue=64, max_encode_tokens=400, admission=self._config, clock=self.clock
        )
        self.engine.start(lambda: None, self.metrics)
        generator = Generator(summarizer=model, engine=self.engine)
        self.admission = build_admission(generator, self._config, self.metrics, self.clock, learned)
        places, capacity = self.engine.num_places, self.engine.capacity
        self.admission.learned.answers(model.version, num_places=places, capacity=capacity)
        ladder = Ladder(
            threads=self._threads,
            generator=generator,
            auto=Tier.GENERATIVE,
            admission=self.admission,
            clock=self.clock,
        )
        self.answerer = Answerer(ladder=ladder, cache=None, keys=CacheKeys(), metrics=self.metrics, quotas=self._quotas)

    async def ask(
        self, *, budget_s: float = BUDGET_S, priority: Priority = Priority.INTERACTIVE, tenant: str = ""
    ) -> None:
        """One request, and what becomes of it."""
        self._num_asked += 1
        text = f"{TEXT} {self._num_asked}"
        deadline, is_here = Deadline.after(budget_s, self.clock), [True]
        model = self.model
        model.is_wanted[text] = lambda: is_here[0] and not deadline.expired
        request = Request(
            query="When?",
            document=Document(text=text),
            document_sha256="",
            max_words=WORDS,
            priority=priority,
            tenant=tenant,
        )
        came_at, real_at = self.clock(), time.perf_counter()
        finish = partial(self._note, priority, came_at, real_at)
        try:
            reply = await self.answerer.answer(request, deadline)
            finish(rung=reply.rung, reasons=reply.reasons, is_good=not deadline.expired)
        except (Overloaded, DeadlineExceeded) as error:
            finish(error=error)
        finally:
            is_here[0] = False
            del model.is_wanted[text]

    def _note(self, priority: Priority, came_at: float, real_at: float, **what: Any) -> None:
        self.outcomes.append(
            Outcome(
                priority=priority,
                came_at=came_at - self.began_at,
                took_s=self.clock() - came_at,
                real_s=time.perf_counter() - real_at,
                **what,
            )
        )

    async def offer(self, load: float | Callable[[float], float], seconds: float, *, seed: int = 1, **ask: Any) -> None:
        """Requests at the times of a Poisson process, `load` times capacity of them; returns when all are over."""
        random, began_at, tasks = Random(seed), self.clock(), list[asyncio.Task[None]]()
        while (now := self.clock() - began_at) < seconds:
            rate = self.capacity * (load(now) if callable(load) else load)
            await asyncio.sleep(random.expovariate(rate))
            tasks.append(asyncio.create_task(self.ask(**ask)))
        await asyncio.gather(*tasks, return_exceptions=True)

    def of(self, priority: Priority) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.priority is priority]


Simulate = Callable[..., Simulation]


@pytest.fixture(name="simulated_model")
def _simulated_model() -> type[SimulatedModel]:
    """What else may be put in the model's place."""
    return SimulatedModel


@pytest.fixture(name="simulate")
def _simulate() -> Iterator[Simulate]:
    """simulate(what, **settings): a simulation in which `await what(simulation)` has been run."""
    loops: list[VirtualLoop] = []

    def simulate(
        what: Callable[[Simulation], Awaitable[None]], quotas: QuotaConfig | None = None, **settings: Any
    ) -> Simulation:
        loop = VirtualLoop()
        loops.append(loop)

        async def run() -> Simulation:
            simulation = Simulation(loop, AdmissionConfig(**settings), quotas or QuotaConfig())
            await what(simulation)
            return simulation

        return loop.run_until_complete(run())

    yield simulate
    for loop in loops:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
