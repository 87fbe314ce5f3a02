"""The process that runs the model for the fronts: `python -m qdts.service.processes.engine_process`.

Standard input brings the settings as one line, then orders (orders.py): its end is the parent's. Standard output gets
one line when fronts may connect, {"ready": true, "admin_port": N, "model": "name@digest"}, or never will,
{"ready": false, "reason": "..."}.

SIGTERM   take nothing new, answer what is there, exit
SIGHUP    exit once no front is connected any more
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from qdts.errors import ConfigError, Unavailable, Unsupported, WeightsError
from qdts.models.prompt_codec import unpack_prompt
from qdts.service import garbage, logs
from qdts.service.application import SWITCH_INTERVAL_S
from qdts.service.config import ServerConfig
from qdts.service.loading import Load, load_model
from qdts.service.main import start_until
from qdts.service.processes.addresses import Addresses
from qdts.service.processes.engine_host import EngineHost, EnginePlace
from qdts.service.processes.fronts_door import Unpack
from qdts.service.processes.orders import STANDARD_INPUT, Orders, read_settings


async def serve(
    config: ServerConfig, place: EnginePlace, *, load: Load = load_model, unpack: Unpack = unpack_prompt
) -> int:
    """Run one engine until it is told to end; the exit status."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)  # fronts' calls must not wait for the model's thread
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_exception_handler(logs.loop_fault)
    host = EngineHost(config, place, load=load, unpack=unpack)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, host.retire)
    _watch_parent(loop, stop)
    try:
        await start_until(host, stop)
        garbage.settle()
        if not stop.is_set():
            print(json.dumps({"ready": True, "admin_port": host.admin_port, "model": host.version}), flush=True)
        return await host.run_until(stop)
    finally:
        await host.stop()


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Do what the parent says, and end with it: nobody else has the other end of standard input."""
    orders = Orders()

    def readable() -> None:
        if not orders.obey():
            loop.remove_reader(STANDARD_INPUT)
            logs.warning("parent_gone")
            stop.set()

    loop.add_reader(STANDARD_INPUT, readable)


def run(argv: Sequence[str] | None = None, *, load: Load = load_model, unpack: Unpack = unpack_prompt) -> int:
    """The exit status: 0 when it was told to end, 1 when the engine ended by itself, 2 when it could not start."""
    parser = argparse.ArgumentParser(prog="qdts-engine", description="Runs the model for the fronts of one server.")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--generation", type=int, required=True)
    parser.add_argument("--index", type=int, required=True)
    asked = parser.parse_args(argv)
    logs.configure("info")  # until the settings are there: standard output is not for logs
    # The parent decides what an interrupt from the terminal means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        config = read_settings()
        logs.configure(config.logging.level, process=f"engine-{asked.index}")
        place = EnginePlace(addresses=Addresses(asked.directory), generation=asked.generation, index=asked.index)
        place.addresses.check()
        return asyncio.run(serve(config, place, load=load, unpack=unpack))
    except (ConfigError, WeightsError, Unsupported, Unavailable) as error:
        logs.warning("start_failed", reason=str(error))
        print(json.dumps({"ready": False, "reason": str(error)}), flush=True)
        return 2


if __name__ == "__main__":
    sys.exit(run())
