"""The engine processes, generation after generation. A newer one is there and ready before the older one goes."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from qdts.errors import ConfigError, Unavailable, WeightsError
from qdts.models.shipped import NO_MODEL, find_model
from qdts.service import logs
from qdts.service.config import ServerConfig
from qdts.service.hosting import RETIRE_S, Swap
from qdts.service.processes.child import PYTHON, Command
from qdts.service.processes.directory import Directory
from qdts.service.processes.fronts import EXIT_S, start_all
from qdts.service.processes.handover import pack_config
from qdts.service.processes.place import Place

MODULE = "qdts.service.processes.engine_process"


class Engines:
    """As many as the configuration says, or none where there is no model. Event loop only."""

    def __init__(
        self,
        config: ServerConfig,
        directory: Directory,
        *,
        count_restart: Callable[[str], None],
        on_newer: Callable[[], Awaitable[str]],
        module: str = MODULE,
    ) -> None:
        """`on_newer` is called when a newer generation has been published, and says what is not as it should be."""
        self._config, self._directory, self._module = config, directory, module
        self._count_restart, self._on_newer = count_restart, on_newer
        self._changing = asyncio.Lock()
        self._order = b""
        self._coming: list[Place] = []
        self._leaving: dict[int, Sequence[Place]] = {}
        self._num_swaps = 0
        self.last_swap: Swap | None = None
        self.generation = -1  # there is none yet
        self.places: Sequence[Place] = ()

    async def start(self) -> None:
        """The first generation; Unavailable if one does not get ready, WeightsError if there is no such model."""
        async with self._changing:
            if self.generation < 0:
                await self._bring(0, None)

    def next_swap(self, model: str | None) -> Swap:
        """A swap to that model, or to what engine.model names, for swap(). It is the last one from here on."""
        self._num_swaps += 1
        self.last_swap = Swap(number=self._num_swaps, model=model)
        return self.last_swap

    async def swap(self, swap: Swap) -> None:
        """Start a newer generation beside this one and let it take over; where one of it fails, all stays as it is."""
        async with self._changing:
            before, old = self.places, self.generation
            try:
                await self._bring(old + 1, swap.model)
            except (ConfigError, Unavailable, WeightsError) as error:
                logs.warning("model_swap_failed", reason=str(error))
                return swap.fail(str(error))
            logs.info("model_swapped", generation=self.generation, model=self.version)
            self._leaving[old] = before
            swap.succeed(self.version, await self._on_newer())
        await self._retire(old)

    def tell(self, order: bytes) -> None:
        """All of them, also those that come later."""
        self._order = order
        for place in self._all:
            place.tell(order)

    async def stop(self) -> None:
        """All of them leave."""
        await asyncio.gather(*(place.stop(EXIT_S) for place in self._all))

    @property
    def version(self) -> str | None:
        """The model's that they run, None where there is none. One that is away is started again with the same."""
        models = (place.model for place in self.places)
        return next((model for model in models if model is not None), None)

    @property
    def leaving(self) -> list[Place]:
        """Those of older generations that are still there."""
        return [place for places in self._leaving.values() for place in places]

    @property
    def are_away_s(self) -> float:
        """For how long not one has been there."""
        return min((place.away.seconds for place in self.places), default=0.0)

    @property
    def _all(self) -> list[Place]:
        return [*self.places, *self._coming, *self.leaving]

    async def _bring(self, generation: int, model: str | None) -> None:
        """Start a generation and publish it."""
        # Looked for here, too: this says better what is wrong than a process that ends. And the directory that a link
        # leads to now is what all of this generation run and read, whenever they are started.
        path = find_model(self._config.engine.model if model is None else model)
        directory = NO_MODEL if path is None else str(path.resolve())
        num_engines = 0 if path is None else self._config.processes.engines
        self._coming = [self._place(generation, index, directory) for index in range(num_engines)]
        try:
            await start_all(self._coming)
            self._directory.publish(generation, directory)
        except Unavailable:
            await asyncio.gather(*(place.stop(EXIT_S) for place in self._coming))
            self._coming = []
            raise
        self.places, self._coming, self.generation = self._coming, [], generation

    async def _retire(self, generation: int) -> None:
        """Each goes when no front is connected any more: when those have ended there what they began."""
        places = self._leaving[generation]
        await asyncio.gather(*(place.stop(RETIRE_S + EXIT_S, signal.SIGHUP) for place in places))
        logs.info("generation_left", generation=generation)
        del self._leaving[generation]

    def _place(self, generation: int, index: int, model: str) -> Place:
        where = ("--directory", str(self._directory.path), "--generation", str(generation), "--index", str(index))
        told = pack_config(replace(self._config, engine=replace(self._config.engine, model=model)))
        command = Command(args=(*PYTHON, self._module, *where), told=told)
        place = Place(f"engine-{index}", lambda: command, self._config.lifecycle, count_restart=self._count_restart)
        place.tell(self._order)
        return place
