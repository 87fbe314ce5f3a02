"""A server whose model counts what it reads, on a Redis: in this process, or in one of its own."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from qdts.errors import Unavailable
from qdts.loadtest.counting_model import CountingModel
from qdts.service import logs
from qdts.service.application import Application
from qdts.service.config import EngineConfig, ListenConfig, MetricsConfig, ServerConfig
from qdts.service.redis.config import RedisConfig

START_S = 120.0


def redis_config(url: str) -> RedisConfig:
    """The defaults, and a secret."""
    return RedisConfig(url=url, secret="a secret for measurements")


@asynccontextmanager
async def serving(
    config: RedisConfig, model: CountingModel | None = None
) -> AsyncIterator[tuple[Application, CountingModel]]:
    """A server of this process, from start to drain."""
    model = model or CountingModel()
    settings = ServerConfig(
        # A thousand callers share one connection here: it may have so many calls running.
        server=ListenConfig(port=0, drain_delay_s=0.0, max_calls_per_peer=0),
        engine=EngineConfig(auto="generative", max_batch=16, max_queue=1024),
        metrics=MetricsConfig(enabled=False),
        redis=config,
    )
    application = Application(settings, load=lambda engine: model)
    await application.start()
    model.num_calls = 0
    try:
        yield application, model
    finally:
        await application.stop()


class CountingServer:
    """The same in a process of its own, within a `with` block."""

    def __init__(self, config: RedisConfig, *, read_s: float) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._here, there = spawning.Pipe()
        self._there: Any = there
        self._process = spawning.Process(target=_serve, args=(config, read_s, there), daemon=True)
        self._process.start()
        self.port = 0
        self.pid = self._process.pid or 0

    def __enter__(self) -> Self:
        self._there.close()  # so that the end of the other process is the end of the pipe
        self.port = self._receive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._here.close()  # which ends it
        self._process.join(START_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def num_calls(self) -> int:
        """Documents that its model has read."""
        self._here.send(None)
        return self._receive()

    def _receive(self) -> int:
        try:
            if self._here.poll(START_S):
                return self._here.recv()
        except EOFError:
            pass
        raise Unavailable("the server's process does not answer")


def _serve(config: RedisConfig, read_s: float, asked: Any) -> None:
    logs.configure("error")
    asyncio.run(_answer(config, read_s, asked))


async def _answer(config: RedisConfig, read_s: float, asked: Any) -> None:
    async with serving(config, CountingModel(read_s=read_s)) as (application, model):
        asked.send(application.port)
        try:
            while True:
                await asyncio.to_thread(asked.recv)
                asked.send(model.num_calls)
        except EOFError:
            return
