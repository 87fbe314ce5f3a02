"""A server of several processes, supervised from a thread of this one; the model takes no time, or is the real one."""

import asyncio
import os
import threading
from pathlib import Path
from types import TracebackType

from qdts.errors import Unavailable
from qdts.service.config import ServerConfig
from qdts.service.processes import engines, fronts
from qdts.service.processes.supervisor import Supervisor

READY_S = 120.0
INSTANT_MODULES = ("qdts.loadtest.simulation.instant_engine", "qdts.loadtest.simulation.instant_front")
REAL_MODULES = (engines.MODULE, fronts.MODULE)


class Fleet:
    """From entry to exit."""

    def __init__(self, config: ServerConfig, *, is_instant: bool) -> None:
        self._config = config
        self._modules = INSTANT_MODULES if is_instant else REAL_MODULES
        self._is_started = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="supervisor", daemon=True)
        self.port = 0
        self.pids: dict[str, int] = {}

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

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        engine_module, front_module = self._modules
        supervisor = Supervisor(self._config, engine_module=engine_module, front_module=front_module)
        try:
            await supervisor.start()
            self.port, self.pids = supervisor.port, supervisor.pids
            self._is_started.set()
            await self._stop.wait()
        except Unavailable as error:
            self._error = error
            self._is_started.set()
        finally:
            await supervisor.stop()


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
