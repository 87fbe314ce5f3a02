"""A server of several processes, supervised from a thread of this one; the model is simulated, or the real one."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from qdts.errors import Unavailable
from qdts.service.config import ServerConfig
from qdts.service.processes import engines, fronts
from qdts.service.processes.supervisor import Supervisor

READY_S = 120.0
# What engines run, and what fronts run.
Modules = tuple[str, str]
_FRONT = "qdts.loadtest.simulation.instant_front"
INSTANT_MODULES: Modules = ("qdts.loadtest.simulation.instant_engine", _FRONT)
PACED_MODULES: Modules = ("qdts.loadtest.simulation.paced_engine", _FRONT)
REAL_MODULES: Modules = (engines.MODULE, fronts.MODULE)


class Fleet:
    """From entry to exit."""

    def __init__(self, config: ServerConfig, modules: Modules) -> None:
        self._config = config
        self._modules = modules
        self._is_started = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="supervisor", daemon=True)
        self.port = 0

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of those that are in their places, by name."""
        return self._supervisor.pids

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "Fleet":
        self._thread.start()
        if not self._is_started.wait(READY_S) or self._error is not None:
            raise Unavailable("the server did not start") from self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def kill(self, name: str) -> None:
        """By SIGKILL."""
        os.kill(self.pids[name], signal.SIGKILL)

    def swap_model(self) -> None:
        """As at SIGHUP: newer engines come, and take over."""
        self._loop.call_soon_threadsafe(self._supervisor.swap_model)

    def renew(self) -> None:
        """As at SIGUSR1: each front is replaced, one after the other."""
        self._loop.call_soon_threadsafe(self._supervisor.renew)

    def has_replaced(self, names: Iterable[str], before: dict[str, int]) -> bool:
        """Whether others are in these places than those that were `before`, all are ready, and nobody leaves."""
        places, now = [*self._supervisor.fronts.places, *self._supervisor.engines.places], self.pids
        is_leaving = bool(self._supervisor.engines.leaving) or any(place.leaving for place in places)
        are_new = all(name in now and now[name] != before[name] for name in names)
        return are_new and not is_leaving and all(place.is_ready for place in places)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        engine_module, front_module = self._modules
        self._supervisor = Supervisor(self._config, engine_module=engine_module, front_module=front_module)
        try:
            await self._supervisor.start()
            self.port = self._supervisor.port
            self._is_started.set()
            await self._stop.wait()
        except Unavailable as error:
            self._error = error
            self._is_started.set()
        finally:
            await self._supervisor.stop()


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
