"""Runs a server, of one process or of several: signals, exit statuses, from start to drain."""

import asyncio
import contextlib
import signal
import sys
from typing import Protocol

from qdts.errors import ConfigError, Unavailable, Unsupported, WeightsError
from qdts.service import garbage, logs
from qdts.service.application import Application
from qdts.service.config import ServerConfig
from qdts.service.processes.supervisor import Supervisor

# What keeps a server from its start, and is no fault of ours.
START_ERRORS = (ConfigError, WeightsError, Unsupported, Unavailable)


def run(config: ServerConfig) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP loads the model anew, SIGUSR1 renews the fronts, if there are any.

    The exit status: 0 after a drain, 1 when the server ended by itself, 2 when it could not start.
    """
    logs.configure(config.logging.level)
    try:
        return asyncio.run(_serve(config))
    except START_ERRORS as error:
        logs.warning("start_failed", reason=str(error))
        print(f"qdts: {error}", file=sys.stderr)
        return 2


async def _serve(config: ServerConfig) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.loop_fault)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = _build(config)
    loop.add_signal_handler(signal.SIGHUP, server.swap_model)
    if isinstance(server, Supervisor):
        loop.add_signal_handler(signal.SIGUSR1, server.renew)
    try:
        await start_until(server, stop)
        garbage.settle()
        return await server.run_until(stop)
    finally:
        await server.stop()


def _build(config: ServerConfig) -> Application | Supervisor:
    return Supervisor(config) if config.processes.fronts else Application(config)


class _Starts(Protocol):
    async def start(self) -> None: ...


async def start_until(server: _Starts, stop: asyncio.Event) -> None:
    """Start, but no further than to `stop`: a warm-up may take long, and nobody waits for it any more."""
    starting = asyncio.ensure_future(server.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
