"""A front's generator: a reader of its own, and the engines of the newest generation."""

import asyncio
from collections.abc import Awaitable, Callable
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
    """The newest engines behind a reader of their model; None where the settings name no model.

    Unavailable if there are none in time, WeightsError if they run another model than the settings name now.
    """
    reader = await asyncio.to_thread(load, config.engine)
    if reader is None:
        return None
    addresses = Addresses(Path(config.processes.directory))
    addresses.check()
    until = Deadline.after(patience_s)
    while True:
        try:
            return await _open(config, addresses, reader, on_death)
        except Unavailable:
            if until.expired:
                raise
            await asyncio.sleep(LOOK_EVERY_S)


async def _open(config: ServerConfig, addresses: Addresses, reader: Reader, on_death: OnDeath) -> Generator:
    generation = addresses.generation

    async def engine(index: int) -> RemoteEngine:
        return await RemoteEngine.connect(addresses, generation, index, config.admission)

    pool = EnginePool(config.processes.engines, engine, config.admission, is_sticky=config.engine.mode == "indexed")
    facts = await pool.open()
    if facts.version != reader.version:
        await pool.close(Draining("closed"), timeout_s=0)
        raise WeightsError(
            f"the engines run {facts.version}, engine.model is {reader.version} by now: SIGHUP loads that"
        )
    pool.start(on_death)
    return Generator(summarizer=RemoteSummarizer(reader, facts), engine=pool)
