"""Which model answers: the first one, another in its stead, the same again after its engine died.

Whatever comes is loaded beside what is there, answers real requests, and only then takes over: calls that are on
the old one end there. What does not come up changes nothing. While an engine is away its ladder goes on
without it, so calls are answered from lower rungs.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum

from qdts.errors import QdtsError, Unavailable
from qdts.service import logs
from qdts.service.building import OnDeath
from qdts.service.heartbeat import LifecycleConfig, Since
from qdts.service.metrics import Metrics
from qdts.service.serving import Serving

# For calls that are still on a model that was replaced: as long as the longest deadline allows.
RETIRE_S = 60.0

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a host needs of its house: `build` loads, `warm_up` tries, `show` lets calls in, `tell` says what is up.

    `build` is told which model, as engine.model names one; None: the one that the configuration names now.
    """

    build: Callable[[str | None, OnDeath], Awaitable[Serving]]
    warm_up: Callable[[Serving], Awaitable[None]]
    show: Callable[[Serving], None]
    tell: Callable[[bool], Awaitable[None]]
    name: str = "model"  # in the log


class SwapState(Enum):
    """How far a swap is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(slots=True, kw_only=True)
class Swap:
    """One model being put in another's place. Times are Unix time; `problem` says what is wrong."""

    number: int
    model: str | None
    state: SwapState = SwapState.RUNNING
    version: str | None = None
    problem: str = ""
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def succeed(self, version: str | None, problem: str = "") -> None:
        """A model of this version is in place; `problem`: what is not as it should be all the same."""
        self.version = version
        self._end(SwapState.SUCCEEDED, problem)

    def fail(self, problem: str) -> None:
        """Nothing new is in place."""
        self._end(SwapState.FAILED, problem)

    def _end(self, state: SwapState, problem: str) -> None:
        self.state, self.problem, self.ended_at = state, problem, time.time()
        self.ended.set()


class ModelHost:
    """Holds the serving model from start() to close(). Event loop only."""

    def __init__(
        self, stage: Stage, config: LifecycleConfig, metrics: Metrics, away: Since, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._stage, self._config, self._metrics = stage, config, metrics
        self._away, self._sleep = away, sleep
        self._serving: Serving | None = None
        self._model: str | None = None  # what the serving is of: the one to start again
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._building: list[Serving] = []
        self._retiring: list[Serving] = []
        self._is_closed = False
        self.has_begun = False  # by start(), which replaces what a swap before it has put in place
        self._num_swaps = 0
        self.last_swap: Swap | None = None

    @property
    def serving(self) -> Serving | None:
        """What is in place."""
        return self._serving

    async def start(self) -> Serving:
        """Load and warm up. Raises what keeps the model from it."""
        self.has_begun = True
        async with self._changing:
            return await self._put_in_place(None)

    def swap(self, model: str | None = None) -> Swap:
        """Load `model`, or what the configuration names now, and let it take over.

        What fails is logged, and all stays as it is. One swap comes after the other. After close() each fails at once.
        """
        self._num_swaps += 1
        self.last_swap = swap = Swap(number=self._num_swaps, model=model)
        if self._is_closed:
            swap.fail("the server is about to exit")
        else:
            self._spawn(self._swap(swap))
        return swap

    async def close(self) -> None:
        """End what is in service and what is on its way."""
        self._is_closed = True
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Those that retire, too: where a task was cancelled before its thread began, nobody else ends them.
        for serving in {*self._building, *self._retiring, *([self._serving] if self._serving else [])}:
            await serving.close()
        self._serving = None

    async def _put_in_place(self, model: str | None) -> Serving:
        """Build, warm up, show; the one before retires."""
        mine: list[Serving] = []
        serving = await self._stage.build(model, lambda: self._died(mine))
        mine.append(serving)
        self._building.append(serving)
        await self._stage.warm_up(serving)
        if not serving.is_whole:
            raise Unavailable("the engine ended during its warm-up")
        self._building.remove(serving)
        before, self._serving, self._model = self._serving, serving, model
        self._stage.show(serving)
        if before is not None:
            self._retiring.append(before)
            self._spawn(self._retire(before))
        return serving

    async def _retire(self, serving: Serving) -> None:
        await serving.retire(within_s=RETIRE_S)
        self._retiring.remove(serving)

    async def _swap(self, swap: Swap) -> None:
        async with self._changing:
            outcome = await self._attempt(f"{self._stage.name}_swap_failed", swap.model)
            if isinstance(outcome, str):
                return swap.fail(outcome)
            logs.info(f"{self._stage.name}_swapped", model=outcome.version)
            await self._there()
            swap.succeed(outcome.version)

    async def _attempt(self, event: str, model: str | None) -> Serving | str:
        """What is in place now, or why nothing new is: then `event` is logged, and what was built is gone."""
        task = asyncio.ensure_future(self._put_in_place(model))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()  # changes nothing when it is done
        error = task.exception()
        if error is None:
            return task.result()
        # Only our own words: those of others may quote what they choked on.
        problem = str(error) if isinstance(error, QdtsError) else ""
        logs.fault(event, error, reason=problem or None)
        while self._building:
            await self._building.pop().close()
        return problem or type(error).__name__

    def _died(self, mine: list[Serving]) -> None:
        """The engine of a serving has ended. One that was not in service, or is no more, is nobody's loss."""
        if self._is_closed or self._serving is None or self._serving not in mine:
            return
        logs.warning("engine_down", model=self._serving.version)
        self._away.begin()
        self._spawn(self._restart(self._serving))

    async def _restart(self, dead: Serving) -> None:
        await self._stage.tell(False)
        delay_s = self._config.restart_first_s
        while True:
            await self._sleep(delay_s)
            async with self._changing:
                if self._serving is not dead:  # a swap came first
                    return
                self._metrics.count_restart()
                outcome = await self._attempt("engine_restart_failed", self._model)
                if not isinstance(outcome, str):
                    logs.info("engine_restarted", model=outcome.version)
                    return await self._there()
            delay_s = min(2 * delay_s, self._config.restart_max_s)

    async def _there(self) -> None:
        self._away.end()
        await self._stage.tell(True)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)  # the loop holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
