"""Generations without a process in them: numbers, swaps and what is published. With some: fleet/test_engines.py."""

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest

from qdts.errors import WeightsMissing
from qdts.service.config import EngineConfig, ServerConfig
from qdts.service.hosting import SwapState
from qdts.service.processes.addresses import Addresses, Newest
from qdts.service.processes.directory import Directory
from qdts.service.processes.engines import Engines


@pytest.fixture(name="held")
def _held() -> Iterator[Directory]:
    held = Directory.open("")
    yield held
    held.remove()


@pytest.fixture(name="make")
def _make(held: Directory) -> Callable[..., Engines]:
    def make(model: str = "none", problem: str = "") -> Engines:
        async def on_newer() -> str:
            return problem

        config = ServerConfig(engine=EngineConfig(model=model))
        return Engines(config, held, count_restart=lambda name: None, on_newer=on_newer)

    return make


def newest(held: Directory) -> Newest:
    return Addresses(held.path).newest


async def test_generations_are_numbered_and_published(make: Callable[..., Engines], held: Directory) -> None:
    engines = make(problem="front-1 is late")
    await engines.start()
    assert newest(held) == Newest(generation=0, model="none")
    swap = engines.next_swap(None)
    assert engines.last_swap is swap and (swap.number, swap.state) == (1, SwapState.RUNNING)
    await engines.swap(swap)
    assert (swap.state, swap.version, swap.problem) == (SwapState.SUCCEEDED, None, "front-1 is late")
    assert newest(held).generation == engines.generation == 1
    assert engines.next_swap(None).number == 2


async def test_swap_that_comes_before_the_start_is_the_first_generation(
    make: Callable[..., Engines], held: Directory
) -> None:
    engines = make()
    await asyncio.gather(engines.swap(engines.next_swap("none")), engines.start())
    assert newest(held).generation == engines.generation == 0


async def test_what_is_not_there_ends_a_start_and_fails_a_swap(make: Callable[..., Engines], held: Directory) -> None:
    with pytest.raises(WeightsMissing, match="no-such"):
        await make("no-such").start()
    engines = make()
    await engines.start()
    swap = engines.next_swap("no-such")
    await engines.swap(swap)
    assert swap.state is SwapState.FAILED and "'no-such' is no directory" in swap.problem and swap.ended_at
    assert newest(held).generation == engines.generation == 0


async def test_what_cannot_be_published_fails_a_swap(make: Callable[..., Engines], held: Directory) -> None:
    engines = make()
    await engines.start()
    (held.path / "generation.new").mkdir()
    swap = engines.next_swap(None)
    await engines.swap(swap)
    assert swap.state is SwapState.FAILED and "processes.directory" in swap.problem
    os.rmdir(held.path / "generation.new")
    await engines.swap(engines.next_swap(None))
    assert newest(held).generation == engines.generation == 1
