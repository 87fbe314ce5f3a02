"""A front as a process: takes calls on the port it shares with the others, until it is told to go.

SIGTERM   drain, exit; so it does, too, when its supervisor is gone, and then takes the directory with it
SIGHUP    go over to the newest engines
SIGUSR1   leave: take no new connection, wait until those that are there have gone, exit
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from qdts.service import garbage, logs
from qdts.service.application import Application
from qdts.service.config import ServerConfig
from qdts.service.main import START_ERRORS, start_until
from qdts.service.processes.connect import Connect, connect
from qdts.service.processes.directory import remove_orphaned
from qdts.service.processes.fronts import leave_s
from qdts.service.processes.leaving import leave
from qdts.service.processes.orders import Orders, read_settings


def main(join: Connect = connect) -> int:
    """Serve as standard input says, by the name in argv; the exit status is as that of a server of one process."""
    config = read_settings()
    logs.configure(config.logging.level, process=sys.argv[1])
    try:
        return asyncio.run(_serve(config, join))
    except START_ERRORS as error:
        logs.warning("start_failed", reason=str(error))
        _say(ready=False, reason=str(error))
        return 2


async def _serve(config: ServerConfig, join: Connect) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.loop_fault)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    orphaned = _Orphaned(stop, leave_s(config))
    application = Application(config, join=join)
    loop.add_signal_handler(signal.SIGHUP, application.swap_model)
    leaving: list[asyncio.Task[None]] = []
    loop.add_signal_handler(
        signal.SIGUSR1, lambda: leaving.append(asyncio.ensure_future(leave(application.port, config.transport, stop)))
    )
    try:
        await start_until(application, stop)
        garbage.settle()
        if not stop.is_set():
            _say(ready=True, admin_port=application.admin_port)
        return await application.run_until(stop)
    finally:
        await application.stop()
        if orphaned.is_set():
            remove_orphaned(Path(config.processes.directory))


class _Orphaned(threading.Event):
    """Set when the supervisor is gone: standard input, which it holds open, has ended. Till then it is obeyed."""

    def __init__(self, stop: asyncio.Event, within_s: float) -> None:
        super().__init__()
        self._stop, self._within_s = stop, within_s
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, name="supervisor", daemon=True).start()

    def _watch(self) -> None:
        orders = Orders()
        while orders.obey():
            pass
        logs.warning("supervisor_gone")
        self.set()
        with contextlib.suppress(RuntimeError):  # it has just ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        time.sleep(self._within_s)
        os._exit(1)  # nobody else is left who would end a front that is stuck


def _say(**words: object) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    sys.exit(main())
