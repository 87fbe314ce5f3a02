"""The shadow's model, from its loading to its end; shadow.py asks it."""

import asyncio
from dataclasses import replace

from qdts.errors import ConfigError, Draining
from qdts.service import logs
from qdts.service.building import Builder
from qdts.service.config import ServerConfig
from qdts.service.engine_face import EngineFace
from qdts.service.metrics import Metrics
from qdts.service.reply import Reply
from qdts.service.request import Request
from qdts.service.serving import ENGINE_STOP_S
from qdts.service.shadow import Shadow


class ShadowHost:
    """From open() to close(). Event loop only."""

    def __init__(self, config: ServerConfig, builder: Builder, metrics: Metrics) -> None:
        self._config, self._builder, self._metrics = config, builder, metrics
        self._engine: EngineFace | None = None
        self._shadow: Shadow | None = None

    async def open(self) -> None:
        """Its model, on an engine that is counted nowhere else; what it cannot do stops the start."""
        config = replace(self._config.engine, model=self._config.shadow.model, max_batch=1, max_queue=1)
        summarizer = await self._builder.load(config)
        if summarizer is None:
            raise ConfigError("shadow.model: there is no such model")
        generator = self._builder.second(summarizer, config, lambda: logs.warning("shadow_down"))
        self._engine = generator.engine
        await self._builder.warm_up(generator)
        ladder = self._builder.ladder(generator, metrics=Metrics(), learned=None)
        self._shadow = Shadow(ladder, share=self._config.shadow.share, count=self._metrics.second_models.count_shadow)

    def observe(self, request: Request, reply: Reply) -> None:
        """A request and what the model that answers said."""
        if self._shadow is not None:
            self._shadow.observe(request, reply)

    async def close(self) -> None:
        """Ask no more and end the engine."""
        if self._shadow is not None:
            self._shadow.close()
        if self._engine is not None:
            error = Draining("the server is about to exit")
            await asyncio.to_thread(self._engine.stop, error, timeout_s=ENGINE_STOP_S)
