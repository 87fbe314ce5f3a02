"""`qdts serve` as several processes: starts them, keeps them, passes signals on, answers the operators for them all.

It takes no calls and loads no model, and only where admin.port is on does it know gRPC, so that little can go wrong in
it. Should the server of the operators' RPCs end, it goes on without.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from qdts.errors import ConfigError, Conflict, Draining
from qdts.service import logs
from qdts.service.admin import AdminEndpoint
from qdts.service.config import ServerConfig
from qdts.service.health import State
from qdts.service.heartbeat import Liveness
from qdts.service.hosting import Swap, SwapState
from qdts.service.processes import engines, fronts
from qdts.service.processes.directory import Directory
from qdts.service.processes.engines import Engines
from qdts.service.processes.fronts import Fronts, front_config
from qdts.service.processes.merged_metrics import MergedMetrics
from qdts.service.processes.orders import log_level_order
from qdts.service.processes.place import LOOK_EVERY_S, Place
from qdts.service.processes.port import ReservedPort

if TYPE_CHECKING:
    from qdts.service.processes.operated_fleet import OperatedFleet


class Supervisor:
    """Engines and fronts, from start() to stop()."""

    def __init__(
        self, config: ServerConfig, *, engine_module: str = engines.MODULE, front_module: str = fronts.MODULE
    ) -> None:
        """Takes the port. ConfigError where that, or a setting, cannot be."""
        if config.shadow.model:
            raise ConfigError("shadow.model: is for a server of one process, processes.fronts = 0")
        self._config = config
        self.metrics = MergedMetrics(self._processes)
        self._port = ReservedPort(config.server.host, config.server.port)
        self._operated = self._open_to_operators()
        self._directory = Directory.open(config.processes.directory)
        told = front_config(config, port=self._port.number, directory=str(self._directory.path))
        self.liveness = Liveness(config.lifecycle)
        self.engines = Engines(
            told,
            self._directory,
            count_restart=self.metrics.count_restart,
            on_newer=self._go_over,
            module=engine_module,
        )
        self.fronts = Fronts(
            told,
            count_restart=self.metrics.count_restart,
            generation=lambda: self.engines.generation,
            module=front_module,
        )
        self._is_leaving = False
        self._drain_asked = asyncio.Event()
        self._endpoint: AdminEndpoint | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._beating: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that calls come in on."""
        return self._port.number

    @property
    def admin_port(self) -> int | None:
        """The port of metrics and probes, if there is one."""
        return self._endpoint.port if self._endpoint else None

    @property
    def operators_port(self) -> int | None:
        """The port of the operators' RPCs, if there are any."""
        return self._operated.port if self._operated else None

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of those that are there, by name."""
        return {place.name: place.child.pid for place in self._places if place.child is not None}

    @property
    def state(self) -> State:
        """READY while one of the fronts is. Safe from any thread."""
        if self._is_leaving:
            return State.DRAINING
        if any(place.is_ready for place in self.fronts.places):
            return State.READY
        return State.ENGINE_DOWN if any(place.child for place in self.fronts.places) else State.LOADING

    def problem(self) -> str | None:
        """What stands still for too long, or None. Safe from any thread."""
        bound_s = self._config.lifecycle.max_engine_away_s
        if problem := self.liveness.problem():
            return problem
        if self.engines.are_away_s > bound_s:
            return "engine"
        return "front" if min(place.away.seconds for place in self.fronts.places) > bound_s else None

    async def start(self) -> None:
        """Engines first, then fronts: who connects is answered from then on. Raises what keeps one from it."""
        self._beating = asyncio.ensure_future(self.liveness.beat())
        if self._config.metrics.enabled:
            self._endpoint = self._open_endpoint()
        if self._operated is not None:
            await self._operated.start()
        await self.engines.start()
        await self.fronts.start()
        self._spawn(self._look())
        ports = {"admin_port": self.admin_port, "operators_port": self.operators_port}
        logs.info("ready", port=self.port, **ports, fronts=len(self.fronts.places))

    def swap_model(self) -> None:
        """At SIGHUP: engines with what engine.model names now, beside those that are there; then they take over.

        One swap comes after the other. During a drain: nothing.
        """
        if self._is_leaving:
            return logs.info("swap_ignored", reason="the server is about to exit")
        self._spawn(self.engines.swap(self.engines.next_swap(None)))

    def swap(self, model: str | None) -> Swap:
        """As swap_model, with `model` or what engine.model names now. Conflict while another is on its way."""
        if self._is_leaving:
            raise Draining("the server is about to exit")
        if self.engines.last_swap is not None and self.engines.last_swap.state is SwapState.RUNNING:
            raise Conflict("another swap is under way")
        swap = self.engines.next_swap(model)
        self._spawn(self.engines.swap(swap))
        return swap

    def renew(self) -> None:
        """Replace the fronts, one after the other. During a drain: nothing."""
        if self._is_leaving:
            return logs.info("renewal_ignored", reason="the server is about to exit")
        self._spawn(self.fronts.renew())

    def set_log_level(self, level: str) -> str:
        """From which level on lines are written, by all processes; the one before."""
        order = log_level_order(level)
        self.engines.tell(order)
        self.fronts.tell(order)
        return logs.configure(level)

    def drain(self) -> None:
        """Let run_until() return: from there it goes as at SIGTERM."""
        self._drain_asked.set()

    async def run_until(self, stop: asyncio.Event) -> int:
        """Return 0 at `stop`, or when a drain was asked for. What ends by itself is started again: no other end."""
        stopping = [asyncio.ensure_future(event.wait()) for event in (stop, self._drain_asked)]
        await asyncio.wait(stopping, return_when=asyncio.FIRST_COMPLETED)
        for waiting in stopping:
            waiting.cancel()
        return 0

    async def stop(self) -> None:
        """Fronts drain while the engines are still there, then those end, too."""
        logs.info("draining", state=self.state.value)
        self._is_leaving = True
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.fronts.stop()
        await self.engines.stop()
        if self._endpoint is not None:
            await asyncio.to_thread(self._endpoint.close)
        self._directory.remove()
        self._port.close()
        if self._operated is not None:
            await self._operated.stop()
        if self._beating is not None:  # the last: a drain may take longer than a loop may stand still
            self._beating.cancel()
        logs.info("stopped")

    @property
    def _places(self) -> Sequence[Place]:
        return [*self.fronts.places, *self.engines.places]

    def _processes(self) -> list[tuple[str, int | None]]:
        """Names and operators' ports. Called from other threads."""
        there = [(place.name, place.child) for place in self._places]
        leaving = [(f"{child.name}-{child.pid}", child) for place in self._places for child in [*place.leaving]]
        return [(name, child and child.admin_port) for name, child in (*there, *leaving)]

    def _open_to_operators(self) -> "OperatedFleet | None":
        if not self._config.admin.is_on:
            return None
        # Imported here: nobody else needs gRPC in this process.
        from qdts.service.processes.operated_fleet import OperatedFleet

        return OperatedFleet(self, self._config)

    async def _go_over(self) -> str:
        """Tell the fronts of newer engines. Where operators may ask, wait, and say who has not gone over in time."""
        self.fronts.hang_up()
        return "" if self._operated is None else await self._operated.gone_over()

    async def _look(self) -> None:
        while True:
            await asyncio.gather(*(place.look() for place in self._places))
            await asyncio.sleep(LOOK_EVERY_S)

    def _open_endpoint(self) -> AdminEndpoint:
        host, port = self._config.metrics.host, self._config.metrics.port
        try:
            return AdminEndpoint(self.metrics, host=host, port=port, state=lambda: self.state, problem=self.problem)
        except OSError as error:
            raise ConfigError(f"metrics: cannot listen on {host}:{port}: {error.strerror}") from error

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
