"""Runs a server: signals, exit statuses, from start to drain."""

import asyncio
import contextlib
import signal
import sys
from typing import Protocol

from qdts.errors import ConfigError, Unsupported, WeightsError
from qdts.service import logs
from qdts.service.application import Application
from qdts.service.config import ServerConfig


def run(config: ServerConfig) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP loads the model anew.

    The exit status: 0 after a drain, 1 when the server ended by itself, 2 when it could not start.
    """
    logs.configure(config.logging.level)
    try:
        return asyncio.run(_serve(config))
    except (ConfigError, WeightsError, Unsupported) as error:
        logs.warning("start_failed", reason=str(error))
        print(f"qdts: {error}", file=sys.stderr)
        return 2


async def _serve(config: ServerConfig) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.loop_fault)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    application = Application(config)
    loop.add_signal_handler(signal.SIGHUP, application.swap_model)
    try:
        await start_until(application, stop)
        return await application.run_until(stop)
    finally:
        await application.stop()


class _Starts(Protocol):
    async def start(self) -> None: ...


async def start_until(application: _Starts, stop: asyncio.Event) -> None:
    """Start, but no further than to `stop`: a warm-up may take long, and nobody waits for it any more."""
    starting = asyncio.ensure_future(application.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
