"""The service's answers without a server: the same validation, ladder and reply, in this process.

No cache and no gRPC: what `qdts summarize` and `qdts batch` use when no server is named.
"""

import asyncio
import time
from typing import Unpack

from qdts.errors import Draining
from qdts.models.document import Document
from qdts.service import logs
from qdts.service.answering import Answerer
from qdts.service.building import Builder
from qdts.service.cache import CacheKeys
from qdts.service.client.messages import Options, Reply, from_proto, make_request
from qdts.service.config import ServerConfig
from qdts.service.deadline import Deadline
from qdts.service.ladder import Generator
from qdts.service.loading import Load, load_model
from qdts.service.metrics import Metrics
from qdts.service.response import write_response
from qdts.service.validation import read_request

STOP_S = 5.0


class LocalClient:
    """Loads the model on entry, ends its thread on exit."""

    def __init__(self, config: ServerConfig, load: Load = load_model) -> None:
        self._config = config
        self._metrics = Metrics()
        self._builder = Builder(config, load, self._metrics)
        self._generator: Generator | None = None
        self._answerer: Answerer | None = None

    async def __aenter__(self) -> "LocalClient":
        summarizer = await self._builder.load(self._config.engine)
        if summarizer is not None:
            self._generator = self._builder.generator(summarizer, lambda: logs.warning("engine_down"))
        ladder = self._builder.ladder(self._generator, metrics=self._metrics, learned=self._builder.learned)
        self._answerer = Answerer(ladder=ladder, cache=None, keys=CacheKeys(), metrics=self._metrics)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._generator is not None:
            await asyncio.to_thread(self._generator.engine.stop, Draining("closed"), timeout_s=STOP_S)
        self._builder.close()

    async def summarize(
        self,
        query: str,
        document: Document | str,
        *,
        timeout_s: float | None = None,
        **options: Unpack[Options],
    ) -> Reply:
        """One document, one query, one summary; errors are those of a server."""
        assert self._answerer is not None, "use it in `async with`"
        started_at = time.perf_counter()
        asked = read_request(make_request(query, document, **options), self._config.limits)
        deadline = Deadline.after(self._config.deadlines.default_ms / 1000 if timeout_s is None else timeout_s)
        reply = await self._answerer.answer(asked, deadline)
        total_ms = (time.perf_counter() - started_at) * 1000
        return from_proto(write_response(reply, asked, total_ms=total_ms))
