"""A front's generator: the engines of the newest generation, and a reader of its own for their model."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from qdts.errors import Draining, Unavailable, WeightsError
from qdts.service.config import ServerConfig
from qdts.service.deadline import Deadline
from qdts.service.ladder import Generator
from qdts.service.processes.addresses import Addresses
from qdts.service.processes.engine_pool import EnginePool
from qdts.service.processes.reader import LoadReader, Reader, RemoteSummarizer, load_reader
from qdts.service.processes.remote_engine import RemoteEngine

# So long an engine may take to come up again while a front waits for it, and how often it looks: looking costs little,
# and whoever has given up comes back later than the engine.
PATIENCE_S = 60.0
LOOK_EVERY_S = 0.02

OnDeath = Callable[[], None]
Connect = Callable[[ServerConfig, OnDeath], Awaitable[Generator | None]]


async def connect(
    config: ServerConfig, on_death: OnDeath, *, load: LoadReader = load_reader, patience_s: float = PATIENCE_S
) -> Generator | None:
    """The newest engines behind a reader of their model; None where they have none.

    Unavailable if there are none in time, WeightsError if something else lies where their model was.
    """
    addresses = Addresses(Path(config.processes.directory))
    addresses.check()
    until = Deadline.after(patience_s)
    read, reader = None, None
    while True:
        try:
            newest = addresses.newest
            if newest != read:
                model = config.engine.model if newest.model is None else newest.model
                reader = await asyncio.to_thread(load, replace(config.engine, model=model))
                read = newest
            if reader is None:
                return None
            return await _open(config, addresses, newest.generation, reader, on_death)
        except Unavailable:
            if until.expired:
                raise
            await asyncio.sleep(LOOK_EVERY_S)


async def _open(
    config: ServerConfig, addresses: Addresses, generation: int, reader: Reader, on_death: OnDeath
) -> Generator:
    async def engine(index: int) -> RemoteEngine:
        return await RemoteEngine.connect(addresses, generation, index, config.admission)

    pool = EnginePool(config.processes.engines, engine, config.admission, is_sticky=config.engine.mode == "indexed")
    facts = await pool.open()
    if facts.version != reader.version:
        await pool.close(Draining("closed"), timeout_s=0)
        raise WeightsError(
            f"the engines run {facts.version}, in its directory lies {reader.version} by now: SIGHUP loads that"
        )
    pool.start(on_death)
    return Generator(summarizer=RemoteSummarizer(reader, facts), engine=pool)
