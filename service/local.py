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
from qdts.service.cache import CacheKeys
from qdts.service.client.messages import Options, Reply, from_proto, make_request
from qdts.service.config import ServerConfig
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.extraction import TextThreads
from qdts.service.generative import Summarizer
from qdts.service.ladder import Generator, Ladder, build_admission
from qdts.service.loading import Load, load_model
from qdts.service.metrics import Metrics
from qdts.service.request import Tier
from qdts.service.response import write_response
from qdts.service.validation import read_request

STOP_S = 5.0


class LocalClient:
    """Loads the model on entry, ends its thread on exit."""

    def __init__(self, config: ServerConfig, load: Load = load_model) -> None:
        self._config = config
        self._load = load
        self._threads = TextThreads(config.engine.num_text_threads)
        self._engine: Engine | None = None
        self._answerer: Answerer | None = None

    async def __aenter__(self) -> "LocalClient":
        summarizer = await asyncio.to_thread(self._load, self._config.engine)
        generator = None if summarizer is None else self._start_engine(summarizer)
        auto = Tier.GENERATIVE if self._config.engine.auto == "generative" else Tier.FAST
        metrics = Metrics()
        admission = build_admission(generator, self._config.admission, metrics)
        ladder = Ladder(threads=self._threads, generator=generator, auto=auto, admission=admission)
        self._answerer = Answerer(ladder=ladder, cache=None, keys=CacheKeys(), metrics=metrics)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._engine is not None:
            await asyncio.to_thread(self._engine.stop, Draining("closed"), timeout_s=STOP_S)
        self._threads.close()

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

    def _start_engine(self, summarizer: Summarizer) -> Generator:
        config = self._config.engine
        self._engine = Engine(
            summarizer,
            max_batch=config.max_batch,
            max_queue=config.max_queue,
            max_encode_tokens=config.max_encode_tokens,
            admission=self._config.admission,
        )
        self._engine.start(on_death=lambda: logs.warning("engine_down"))
        return Generator(summarizer=summarizer, engine=self._engine)
