"""The canary's model, from its loading to its end: what hosting.py does for the one that answers, for a second one.

It is loaded once the server is ready. One that cannot be loaded, or that is stopped, changes nothing for anybody.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace

from qdts.errors import ConfigError
from qdts.service.answering import Answerer
from qdts.service.building import Builder, OnDeath
from qdts.service.caches import Caches
from qdts.service.canary import Canary, CanaryState
from qdts.service.config import ServerConfig
from qdts.service.heartbeat import Since
from qdts.service.hosting import ModelHost, Stage, Swap, SwapState
from qdts.service.metrics import Metrics
from qdts.service.serving import Serving
from qdts.service.shadow import Shadow


class CanaryHost:
    """From start() to close(). Event loop only."""

    def __init__(self, config: ServerConfig, builder: Builder, caches: Caches, metrics: Metrics) -> None:
        self._config, self._builder, self._caches, self._metrics = config, builder, caches, metrics
        self._learned = builder.learned.beside()
        stage = Stage(build=self._build, warm_up=self._warm_up, show=self._show, tell=self._tell, name="canary")
        self._host = ModelHost(stage, config.lifecycle, Metrics(), Since())
        self._tasks: set[asyncio.Task[None]] = set()
        self.canary = Canary(config.canary, metrics.second_models, on_end=self._spawn_close)

    def start(self) -> None:
        """Load its model; returns at once."""
        self._spawn(self._load())

    async def promoted(self, swap: Swap) -> None:
        """Wait until its model has taken the other's place, and then end."""
        await swap.ended.wait()
        if swap.state is SwapState.SUCCEEDED:
            self.canary.end(CanaryState.PROMOTED)

    async def close(self) -> None:
        """End it, or what is left of it."""
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._host.close()

    async def _load(self) -> None:
        swap = self._host.swap()
        await swap.ended.wait()
        if swap.state is SwapState.FAILED:
            self.canary.end(CanaryState.FAILED, swap.problem)

    async def _build(self, _: str | None, on_death: OnDeath) -> Serving:
        engine = replace(self._config.engine, model=self._config.canary.model)
        summarizer = await self._builder.load(engine)
        if summarizer is None:
            raise ConfigError("canary.model: there is no such model")
        self._caches.share_states(summarizer)
        generator = self._builder.second(summarizer, engine, on_death)
        answerer = Answerer(
            ladder=self._builder.ladder(generator, metrics=Metrics(), learned=self._learned),
            cache=self._caches.replies,
            keys=self._caches.keys,
            metrics=self._metrics,
        )
        return Serving(answerer, generator.engine)

    async def _warm_up(self, serving: Serving) -> None:
        await self._builder.warm_up(serving.ladder.generator)

    def _show(self, serving: Serving) -> None:
        ladder = self._builder.ladder(serving.ladder.generator, metrics=Metrics(), learned=None)
        shadow = Shadow(ladder, share=self._config.canary.share, count=self.canary.count_agreement)
        self.canary.show(serving, shadow)

    async def _tell(self, is_whole: bool) -> None:
        self.canary.tell(is_whole)

    def _spawn_close(self) -> None:
        self._spawn(self._host.close())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
