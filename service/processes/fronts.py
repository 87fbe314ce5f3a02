"""The front processes: their settings, their signals, and their renewal one after the other."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace

from qdts.errors import Unavailable
from qdts.service import logs
from qdts.service.admin_config import AdminConfig
from qdts.service.config import MetricsConfig, ServerConfig
from qdts.service.processes.child import PYTHON, Child, Command
from qdts.service.processes.handover import pack_config
from qdts.service.processes.leaving import patience_s
from qdts.service.processes.place import Place
from qdts.service.quotas import QuotaConfig, parse_rates
from qdts.service.serving import ENGINE_STOP_S

MODULE = "qdts.service.processes.front_process"
# Beyond the drain: its last calls, its threads, the interpreter's own end.
EXIT_S = ENGINE_STOP_S + 10.0


class Fronts:
    """As many as the configuration says. Event loop only."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        count_restart: Callable[[str], None],
        generation: Callable[[], int],
        module: str = MODULE,
    ) -> None:
        """`config` is that of each front; `generation` says which engines are the newest now."""
        self._config, self._generation, self._module = config, generation, module
        self._begun_with: dict[str, int] = {}
        self._renewing = asyncio.Lock()
        self._are_there = False
        self.places = [
            Place(
                name,
                lambda name=name: self._command(name),
                config.lifecycle,
                count_restart=count_restart,
                on_ready=self._catch_up,
            )
            for name in (f"front-{number}" for number in range(config.processes.fronts))
        ]

    @property
    def leave_s(self) -> float:
        """How long one may take to leave."""
        return leave_s(self._config)

    async def start(self) -> None:
        """All at once; Unavailable if one does not get ready."""
        await start_all(self.places)
        self._are_there = True

    async def stop(self) -> None:
        """All drain at once, then they are gone."""
        await asyncio.gather(*(place.stop(self.leave_s) for place in self.places))

    async def renew(self) -> None:
        """Put a new process in the place of each, one after the other; one that does not get ready ends it there.

        The old ones go when their callers have, who are sent away one by one: no call fails for it. Nothing is renewed
        before the first ones are there: those are new.
        """
        if not self._are_there:
            return logs.info("renewal_ignored", reason="the fronts are being started")
        within_s = patience_s(self._config.transport) + self.leave_s
        async with self._renewing:
            for place in self.places:
                try:
                    await place.renew(signal.SIGUSR1, within_s)
                except Unavailable as error:
                    logs.warning("renewal_failed", name=place.name, reason=str(error))
                    return
            logs.info("renewed", fronts=len(self.places))

    def hang_up(self) -> None:
        """There are newer engines."""
        for place in self.places:
            place.send(signal.SIGHUP)

    def tell(self, order: bytes) -> None:
        """All of them, also those that come later."""
        for place in self.places:
            place.tell(order)

    def _command(self, name: str) -> Command:
        self._begun_with[name] = self._generation()
        return Command(args=(*PYTHON, self._module, name), told=pack_config(self._config))

    def _catch_up(self, child: Child) -> None:
        """A signal that came before it could take one would have ended it; what it said is said now."""
        if self._begun_with[child.name] != self._generation():
            child.send(signal.SIGHUP)


async def start_all(places: list[Place]) -> None:
    """Start them side by side; Unavailable if one does not get ready, and then nothing is still starting."""
    starting = [asyncio.ensure_future(place.start()) for place in places]
    try:
        await asyncio.gather(*starting)
    finally:
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)


def front_config(config: ServerConfig, *, port: int, directory: str) -> ServerConfig:
    """A front's settings: the port is settled, operators speak to the supervisor, its quotas are its share."""
    return replace(
        config,
        server=replace(config.server, port=port),
        metrics=MetricsConfig(port=0),
        admin=AdminConfig(),
        quotas=share_of(config.quotas, config.processes.fronts),
        processes=replace(config.processes, directory=directory),
    )


def share_of(config: QuotaConfig, num_fronts: int) -> QuotaConfig:
    """One of so many equal parts: calls are spread evenly over many connections, and quotas are counted per front."""
    rates = {name: rate / num_fronts for name, rate in parse_rates(config.tenants).items()}
    tenants = ", ".join(f"{name}={rate!r}" for name, rate in rates.items())
    return replace(config, default_rate=config.default_rate / num_fronts, tenants=tenants)


def leave_s(config: ServerConfig) -> float:
    """The longest that a front drains, and some time for its end."""
    return config.server.drain_delay_s + config.server.drain_grace_s + EXIT_S
