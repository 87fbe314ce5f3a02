"""From the settings to what makes replies: the one way, for the server, its second models and LocalClient.

load -> engine -> ladder. What is learned on the way belongs to the builder and so to whoever answers next.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from qdts.service.config import EngineConfig, ServerConfig
from qdts.service.engine import Engine
from qdts.service.extraction import TextThreads
from qdts.service.generative import Summarizer
from qdts.service.heartbeat import Liveness
from qdts.service.ladder import Generator, Ladder, build_admission
from qdts.service.learned import Learned
from qdts.service.loading import Load
from qdts.service.metrics import Metrics
from qdts.service.request import Tier
from qdts.service.warm_up import warm_up
from qdts.service.watched import WatchedSummarizer

OnDeath = Callable[[], None]


class Builder:
    """Builds until close(). Event loop only."""

    def __init__(self, config: ServerConfig, load: Load, metrics: Metrics, liveness: Liveness | None = None) -> None:
        """`liveness` is told of the calls into the model that answers."""
        self._config, self._load = config, load
        self._metrics, self._liveness = metrics, liveness
        self._threads = TextThreads(config.engine.num_text_threads)
        engine, count = config.engine, config.processes.engines if config.processes.fronts else 1
        self.learned = Learned.of_engine(
            config.admission, num_places=count * engine.max_batch, max_queue=count * engine.max_queue
        )

    async def load(self, engine: EngineConfig) -> Summarizer | None:
        """The model that the settings name, or None where they name none."""
        return await asyncio.to_thread(self._load, engine)

    def generator(self, summarizer: Summarizer, on_death: OnDeath) -> Generator:
        """The model that answers, on an engine that runs; `on_death` is called in the loop if it ends by itself."""
        watched: Summarizer = summarizer
        if self._liveness is not None:
            watched = WatchedSummarizer(
                summarizer,
                called=self._liveness.model_called,
                on_steps=self._metrics.count_steps,
                on_waste=self._metrics.count_waste,
            )
        # Reading text is no call into the model, and whoever does it asks the summarizer for more than those.
        return replace(self._start(watched, self._config.engine, on_death, self._metrics), summarizer=summarizer)

    def second(self, summarizer: Summarizer, engine: EngineConfig, on_death: OnDeath) -> Generator:
        """Another model beside it, that no metric and no probe tells of."""
        return self._start(summarizer, engine, on_death, Metrics())

    def ladder(self, generator: Generator | None, *, metrics: Metrics, learned: Learned | None) -> Ladder:
        """What makes the replies. With nothing `learned` it begins with nothing and leaves nothing behind."""
        auto = Tier.GENERATIVE if self._config.engine.auto == "generative" else Tier.FAST
        admission = build_admission(generator, self._config.admission, metrics, learned=learned)
        return Ladder(threads=self._threads, generator=generator, auto=auto, admission=admission)

    async def warm_up(self, generator: Generator | None) -> None:
        """Ask it something real, or raise WeightsError; counted nowhere."""
        await warm_up(self.ladder(generator, metrics=Metrics(), learned=None))

    def close(self) -> None:
        """End the threads that read text."""
        self._threads.close()

    def _start(self, summarizer: Summarizer, config: EngineConfig, on_death: OnDeath, metrics: Metrics) -> Generator:
        engine = Engine(
            summarizer,
            max_batch=config.max_batch,
            max_queue=config.max_queue,
            max_encode_tokens=config.max_encode_tokens,
            admission=self._config.admission,
        )
        loop = asyncio.get_running_loop()

        def died() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody asks any more
                loop.call_soon_threadsafe(on_death)

        engine.start(died, metrics)
        return Generator(summarizer=summarizer, engine=engine)
