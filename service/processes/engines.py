"""The engine processes, generation after generation. A newer one is there and ready before the older one goes."""

import asyncio
import signal
from collections.abc import Callable

from qdts.errors import Unavailable
from qdts.models.shipped import find_model
from qdts.service import logs
from qdts.service.config import ServerConfig
from qdts.service.hosting import RETIRE_S
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
        on_newer: Callable[[], None],
        module: str = MODULE,
    ) -> None:
        """`on_newer` is called when a newer generation has been published."""
        self._config, self._directory, self._module = config, directory, module
        self._count_restart, self._on_newer = count_restart, on_newer
        self._changing = asyncio.Lock()
        self._coming: list[Place] = []
        self._leaving: dict[int, list[Place]] = {}
        self.generation = 0
        self.places: list[Place] = []

    async def start(self) -> None:
        """The first generation; Unavailable if one does not get ready, WeightsError if there is no such model."""
        async with self._changing:
            await self._bring(self.generation)

    async def swap(self) -> None:
        """Start a newer generation beside this one and let it take over; where one of it fails, all stays as it is."""
        async with self._changing:
            before, old = self.places, self.generation
            try:
                await self._bring(old + 1)
            except Unavailable as error:
                logs.warning("model_swap_failed", reason=str(error))
                return
            logs.info("model_swapped", generation=self.generation)
            self._on_newer()
            self._leaving[old] = before
        await self._retire(old)

    async def stop(self) -> None:
        """All of them leave."""
        places = [*self.places, *self._coming, *(place for left in self._leaving.values() for place in left)]
        await asyncio.gather(*(place.stop(EXIT_S) for place in places))

    @property
    def are_away_s(self) -> float:
        """For how long not one has been there."""
        return min((place.away.seconds for place in self.places), default=0.0)

    async def _bring(self, generation: int) -> None:
        """Start a generation and publish it."""
        # Looked for here, too: this says better what is wrong than a process that ends.
        has_model = find_model(self._config.engine.model) is not None
        num_engines = self._config.processes.engines if has_model else 0
        self._coming = [self._place(generation, index) for index in range(num_engines)]
        try:
            await start_all(self._coming)
        except Unavailable:
            await asyncio.gather(*(place.stop(EXIT_S) for place in self._coming))
            self._coming = []
            raise
        self._directory.publish(generation)
        self.places, self._coming, self.generation = self._coming, [], generation

    async def _retire(self, generation: int) -> None:
        """Each goes when no front is connected any more: when those have ended there what they began."""
        places = self._leaving[generation]
        await asyncio.gather(*(place.stop(RETIRE_S + EXIT_S, signal.SIGHUP) for place in places))
        logs.info("generation_left", generation=generation)
        del self._leaving[generation]

    def _place(self, generation: int, index: int) -> Place:
        where = ("--directory", str(self._directory.path), "--generation", str(generation), "--index", str(index))
        told = pack_config(self._config)
        command = Command(args=(*PYTHON, self._module, *where), told=told)
        return Place(f"engine-{index}", lambda: command, self._config.lifecycle, count_restart=self._count_restart)
