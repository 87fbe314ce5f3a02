"""Which model answers: the first one, another in its stead, the same again after its engine died.

Whatever comes is loaded beside what is there, answers real requests, and only then takes over: calls that are on
the old one end there. What does not come up changes nothing. While an engine is away its ladder goes on
without it, so calls are answered from lower rungs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from qdts.errors import QdtsError, Unavailable
from qdts.service import logs
from qdts.service.heartbeat import LifecycleConfig, Since
from qdts.service.metrics import Metrics
from qdts.service.serving import Serving

# For calls that are still on a model that was replaced: as long as the longest deadline allows.
RETIRE_S = 60.0

OnDeath = Callable[[], None]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a host needs of its house: `build` loads, `warm_up` tries, `show` lets calls in, `tell` says what is up."""

    build: Callable[[OnDeath], Awaitable[Serving]]
    warm_up: Callable[[Serving], Awaitable[None]]
    show: Callable[[Serving], None]
    tell: Callable[[bool], Awaitable[None]]


class ModelHost:
    """Holds the serving model from start() to close(). Event loop only."""

    def __init__(
        self, stage: Stage, config: LifecycleConfig, metrics: Metrics, away: Since, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._stage, self._config, self._metrics = stage, config, metrics
        self._away, self._sleep = away, sleep
        self._serving: Serving | None = None
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._building: list[Serving] = []
        self._is_closed = False

    async def start(self) -> Serving:
        """Load and warm up. Raises what keeps the model from it."""
        async with self._changing:
            return await self._put_in_place()

    def swap(self) -> None:
        """Load what the configuration names now and let it take over; what fails is logged, and all stays as it is."""
        self._spawn(self._swap())

    async def close(self) -> None:
        """End what is in service and what is on its way."""
        self._is_closed = True
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for serving in {*self._building, *([self._serving] if self._serving else [])}:
            await serving.close()

    async def _put_in_place(self) -> Serving:
        """Build, warm up, show; the one before retires."""
        mine: list[Serving] = []
        serving = await self._stage.build(lambda: self._died(mine))
        mine.append(serving)
        self._building.append(serving)
        await self._stage.warm_up(serving)
        if not serving.is_whole:
            raise Unavailable("the engine ended during its warm-up")
        self._building.remove(serving)
        before, self._serving = self._serving, serving
        self._stage.show(serving)
        if before is not None:
            self._spawn(before.retire(within_s=RETIRE_S))
        return serving

    async def _swap(self) -> None:
        async with self._changing:
            serving = await self._attempt("model_swap_failed")
            if serving is not None:
                logs.info("model_swapped", model=serving.version)
                await self._there()

    async def _attempt(self, event: str) -> Serving | None:
        """What is in place now, or None: then `event` is logged with why, and what was built is gone."""
        task = asyncio.ensure_future(self._put_in_place())
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()  # changes nothing when it is done
        error = task.exception()
        if error is None:
            return task.result()
        logs.fault(event, error, reason=str(error) if isinstance(error, QdtsError) else None)
        while self._building:
            await self._building.pop().close()
        return None

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
                serving = await self._attempt("engine_restart_failed")
                if serving is not None:
                    logs.info("engine_restarted", model=serving.version)
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
