"""What a signal does that comes at a bad moment. With real fronts: fleet/test_supervisor.py."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from qdts.service.processes.config import ProcessesConfig
from qdts.service.processes.probe import ask
from qdts.service.processes.supervisor import Supervisor

# As a front that leaves a file by its process id, and at SIGTERM drains until there is one that says "go".
FRONT = """
import json, os, pathlib, signal, sys, time
seen = pathlib.Path(os.environ["SEEN"])
drains = []
signal.signal(signal.SIGTERM, lambda *_: drains.append(1))
(seen / f"front.{os.getpid()}").touch()
print(json.dumps({"ready": True, "admin_port": None}), flush=True)
while not drains:
    time.sleep(0.01)
(seen / "drains").touch()
while not (seen / "go").exists():
    time.sleep(0.01)
"""

Supervise = Callable[..., AbstractAsyncContextManager[Supervisor]]


@pytest.fixture(name="seen")
def _seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where fronts leave their files."""
    seen = tmp_path / "seen"
    seen.mkdir()
    (tmp_path / "waiting_front.py").write_text(FRONT)
    monkeypatch.setenv("SEEN", str(seen))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    return seen


@pytest.fixture(name="supervise")
def _supervise(kit: Any, seen: Path) -> Supervise:
    """supervise(**sections): a supervisor of one such front and no engine, not started."""

    @asynccontextmanager
    async def supervise(**sections: Any) -> AsyncIterator[Supervisor]:
        config = kit.config(engine=kit.Engine(model="none"), processes=ProcessesConfig(fronts=1), **sections)
        supervisor = Supervisor(config, front_module="waiting_front")
        try:
            yield supervisor
        finally:
            (seen / "go").touch()
            for place in supervisor.fronts.places:
                await place.stop(30)

    return supervise


def fronts(seen: Path) -> list[int]:
    """Process ids of all there have ever been."""
    return [int(file.suffix[1:]) for file in seen.glob("front.*")]


async def test_renewal_during_the_start_starts_no_second_front(
    supervise: Supervise, seen: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with supervise() as supervisor:
        starting = asyncio.ensure_future(supervisor.start())
        supervisor.renew()
        await starting
        [place] = supervisor.fronts.places
        assert place.child is not None and [*place._children] == [place.child]
        assert fronts(seen) == [place.child.pid]
        assert '"event": "renewal_ignored"' in capfd.readouterr().err
        supervisor.renew()  # which it may from now on
        async with asyncio.timeout(30):
            while len(fronts(seen)) < 2:
                await asyncio.sleep(0.01)
        (seen / "go").touch()
        await supervisor.stop()


async def test_signals_during_a_drain_start_nothing(supervise: Supervise, seen: Path, eventually: Any) -> None:
    async with supervise() as supervisor:
        await supervisor.start()
        stopping = asyncio.ensure_future(supervisor.stop())
        await eventually((seen / "drains").exists)
        supervisor.renew()
        supervisor.swap_model()
        assert supervisor.engines.last_swap is None and not supervisor._tasks
        (seen / "go").touch()
        await stopping
        assert len(fronts(seen)) == 1 and supervisor.pids == {}
        assert not any(place._children for place in supervisor.fronts.places)


async def test_the_loop_is_seen_to_turn_until_the_drain_is_over(
    supervise: Supervise, seen: Path, eventually: Any, kit: Any
) -> None:
    async with supervise(metrics=kit.Metrics(port=0)) as supervisor:
        await supervisor.start()
        stopping = asyncio.ensure_future(supervisor.stop())
        await eventually((seen / "drains").exists)
        turned = supervisor.liveness.loop_turned
        for _ in range(2):
            turned.end()
            await eventually(lambda: turned.seconds > 0)
        port = supervisor.admin_port
        assert port is not None
        said = await asyncio.to_thread(ask, port, "/livez")
        assert said is not None and (said.status, said.text) == (200, "alive")
        (seen / "go").touch()
        await stopping
        assert supervisor._beating is not None
        await asyncio.gather(supervisor._beating, return_exceptions=True)  # which ends
