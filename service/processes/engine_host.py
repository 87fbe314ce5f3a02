"""All parts of a process that runs the model for fronts: engine, door, board, the operators' port."""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qdts.errors import ConfigError, Draining
from qdts.models.prompt_codec import unpack_prompt
from qdts.service.admin import AdminEndpoint
from qdts.service.building import Builder
from qdts.service.config import ServerConfig
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.generative import SharesStates, Summarizer, TimesSteps
from qdts.service.health import State
from qdts.service.heartbeat import Liveness
from qdts.service.loading import Load, load_model
from qdts.service.metrics import Metrics
from qdts.service.processes import board
from qdts.service.processes.addresses import Addresses
from qdts.service.processes.board import BoardWriter
from qdts.service.processes.fronts_door import Fetch, FrontsDoor, Unpack
from qdts.service.processes.messages import EngineFacts
from qdts.service.processes.share import own_share
from qdts.service.scheduler import Prompt
from qdts.service.serving import ENGINE_STOP_S
from qdts.service.sharing import open_redis, share_states

if TYPE_CHECKING:
    from qdts.service.redis.level import RedisLevel

# Batches whose steps fronts are told the time of; nobody writes more at once on a machine where that matters.
MAX_BATCH_TOLD = 1024
# To look whether calls are still being answered
LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePlace:
    """Which engine this is."""

    addresses: Addresses
    generation: int
    index: int


class EngineHost:
    """From start() to stop(), in one event loop."""

    def __init__(
        self, config: ServerConfig, place: EnginePlace, *, load: Load = load_model, unpack: Unpack = unpack_prompt
    ) -> None:
        self._config, self._place = config, place
        self._unpack = unpack
        self.metrics = Metrics()
        self._liveness = Liveness(config.lifecycle)
        self._builder = Builder(config, load, self.metrics, self._liveness)
        self._state = State.LOADING
        self._engine: Engine | None = None
        self._door: FrontsDoor | None = None
        self._board: BoardWriter | None = None
        self._redis: RedisLevel | None = None
        self._endpoint: AdminEndpoint | None = None
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._engine_died = asyncio.Event()
        self._retired = asyncio.Event()
        self._is_retiring = False

    @property
    def admin_port(self) -> int | None:
        """Where /metrics, /readyz and /livez are; None without them."""
        return self._endpoint.port if self._endpoint is not None else None

    @property
    def version(self) -> str | None:
        """The model's, once it is there."""
        return self._door.facts.version if self._door is not None else None

    async def start(self) -> None:
        """Load, warm up, listen. ConfigError, WeightsError or Unsupported where that cannot be."""
        self._tasks.append(asyncio.ensure_future(self._liveness.beat()))
        if self._config.metrics.enabled:
            self._endpoint = AdminEndpoint(
                self.metrics, host="127.0.0.1", port=0, state=lambda: self._state, problem=self._liveness.problem
            )
        config = self._config.engine
        share = own_share(
            self._place.index,
            self._config.processes.engines,
            runtime=config.runtime,
            num_threads=config.num_threads,
        )
        share.take()
        summarizer = await self._builder.load(replace(config, num_threads=share.num_threads))
        if summarizer is None:
            raise ConfigError("engine.model: there is none for an engine process to run")
        fetch = await self._share_states(summarizer)
        generator = self._builder.generator(summarizer, self._engine_died.set)
        assert isinstance(generator.engine, Engine)  # it runs in this process
        self._engine = generator.engine
        self.metrics.watch_queue(lambda: generator.engine.num_waiting)
        await self._builder.warm_up(generator)
        await self._open(summarizer, self._engine, fetch)
        self._state = State.READY
        self.metrics.set_ready(True)

    def retire(self) -> None:
        """End once no front is connected any more."""
        self._is_retiring = True
        self._changed()

    async def run_until(self, stop: asyncio.Event) -> int:
        """Return at `stop` or when retired, with 0, or when the engine's thread has ended by itself, with 1."""
        ends = [asyncio.ensure_future(event.wait()) for event in (stop, self._retired, self._engine_died)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        return int(self._engine_died.is_set() and not stop.is_set())

    async def stop(self) -> None:
        """Take nothing new, answer what is there if it does not take too long, end."""
        self._state = State.DRAINING
        self.metrics.set_ready(False)
        if self._server is not None:
            self._server.close()
            self._socket.unlink(missing_ok=True)
        if self._door is not None:
            self._door.is_draining = True
            await self._answer_all(self._door)
        if self._engine is not None:
            error = Draining("the engine is about to end")
            await asyncio.to_thread(self._engine.stop, error, timeout_s=ENGINE_STOP_S)
        if self._door is not None:
            self._door.close()
        for task in self._tasks:
            task.cancel()
        self._builder.close()
        if self._board is not None:
            self._board.close()
            self._board = None  # fronts that disconnect from here on are told to nobody
        if self._redis is not None:
            await self._redis.close()
        if self._endpoint is not None:
            await asyncio.to_thread(self._endpoint.close)

    @property
    def _socket(self) -> Path:
        return self._place.addresses.socket(self._place.generation, self._place.index)

    async def _share_states(self, summarizer: Summarizer) -> Fetch | None:
        """What is read here is read for all, where the settings say so: then fronts' prompts wait for what there is."""
        config = self._config
        if not (config.redis.url and config.redis.states and config.engine.mode == "indexed"):
            return None
        if not isinstance(summarizer, SharesStates):
            return None
        self._redis = await open_redis(config, self.metrics.cache)
        share_states(summarizer, self._redis, config.engine)
        shares: SharesStates = summarizer
        loop = asyncio.get_running_loop()

        async def fetch(prompt: Prompt, deadline: Deadline) -> None:
            await loop.run_in_executor(None, lambda: shares.fetch(prompt, within_s=deadline.remaining_s))

        return fetch

    async def _open(self, summarizer: Summarizer, engine: Engine, fetch: Fetch | None) -> None:
        facts = EngineFacts(
            version=summarizer.version,
            info=summarizer.info,
            num_places=engine.num_places,
            max_queue=self._config.engine.max_queue,
            step_ms=_steps(summarizer, engine.num_places),
        )
        self._door = FrontsDoor(engine, facts, unpack=self._unpack, changed=self._changed, fetch=fetch)
        self._board = BoardWriter(self._place.addresses.board(self._place.generation, self._place.index))
        self._say()
        self._tasks.append(asyncio.ensure_future(self._beat()))
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._door.open, str(self._socket))

    def _changed(self) -> None:
        """Calls and fronts have come or gone. Said at once: who is answered must not find its own call counted."""
        self._say()
        if self._is_retiring and (self._door is None or not self._door.num_fronts):
            self._retired.set()

    def _say(self) -> None:
        """How busy the engine is now."""
        if self._board is None or self._engine is None or self._door is None:
            return
        queued, called = self._engine.num_by_class, self._liveness.model_called
        now = time.monotonic()
        self._board.write(
            board.Load(
                at=now,
                num_places=self._engine.num_places,
                max_queue=self._config.engine.max_queue,
                num_running=self._engine.num_running,
                queued=queued,
                num_fronts=self._door.num_fronts,
                taken_s=self._engine.taken_s,
                called_at=now - called.seconds if called.seconds else None,
                is_draining=self._door.is_draining,
                version=self._door.facts.version,
            )
        )

    async def _beat(self) -> None:
        while True:
            self._say()
            await asyncio.sleep(board.BEAT_S)

    async def _answer_all(self, door: FrontsDoor) -> None:
        until = Deadline.after(self._config.server.drain_grace_s)
        while door.num_calls and not until.expired and not self._engine_died.is_set():
            await asyncio.sleep(LOOK_EVERY_S)


def _steps(summarizer: Summarizer, num_places: int) -> tuple[float, ...]:
    if not isinstance(summarizer, TimesSteps) or not summarizer.step_ms(1):
        return ()
    return tuple(summarizer.step_ms(batch) for batch in range(1, min(num_places, MAX_BATCH_TOLD) + 1))
