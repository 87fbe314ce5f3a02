"""A place that is kept: who ends comes back, later each time; who is stuck is ended; nothing is left of it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import Unavailable
from qdts.service.admin import AdminEndpoint
from qdts.service.health import State
from qdts.service.heartbeat import LifecycleConfig
from qdts.service.metrics import Metrics
from qdts.service.processes import place as place_module
from qdts.service.processes.child import Child, Command
from qdts.service.processes.place import Place

# Fails as long as there is a file of that name; says the port of operators that it is given.
PROGRAM = """
import json, os, sys
if os.path.exists(sys.argv[1]):
    print(json.dumps({"ready": False, "reason": "it may not"}), flush=True)
    sys.exit(2)
print(json.dumps({"ready": True, "admin_port": int(sys.argv[2]) or None}), flush=True)
with open(sys.argv[3], "a") as heard:
    for line in sys.stdin:
        print(line, end="", file=heard, flush=True)
"""
SOON = LifecycleConfig(restart_first_s=0.01, restart_max_s=0.05, max_loop_stall_s=1.0)

Make = Callable[..., Place]


@pytest.fixture(name="forbidden")
def _forbidden(tmp_path: Path) -> Path:
    return tmp_path / "forbidden"


@pytest.fixture(name="make")
async def _make(forbidden: Path) -> AsyncIterator[Make]:
    places: list[Place] = []

    def make(*, port: int = 0, config: LifecycleConfig = SOON, **options: Any) -> Place:
        heard = str(forbidden.with_name("heard"))
        command = Command(args=(sys.executable, "-c", PROGRAM, str(forbidden), str(port), heard), told=b"settings\n")
        place = Place("p-0", lambda: command, config, **{"count_restart": lambda name: None, **options})
        places.append(place)
        return place

    yield make
    for place in places:
        await place.stop(5)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_comes_back_and_is_counted(make: Make, eventually: Any) -> None:
    counted: list[str] = []
    readied: list[Child] = []
    place = make(count_restart=counted.append, on_ready=readied.append)
    await place.start()
    first = place.child
    assert first is not None and place.is_ready and not place.away.seconds
    first.send(signal.SIGKILL)
    await eventually(lambda: place.child not in (first, None), 30)
    assert counted == ["p-0"] and readied == [first, place.child]


async def test_what_is_said_once_is_said_to_each_that_comes_later(make: Make, forbidden: Path, eventually: Any) -> None:
    def heard() -> list[str]:
        return forbidden.with_name("heard").read_text().split()

    forbidden.with_name("heard").touch()
    place = make()
    place.tell(b"early\n")
    await place.start()
    place.tell(b"late\n")
    await eventually(lambda: heard() == ["settings", "early", "late"], 30)
    first = place.child
    assert first is not None
    first.send(signal.SIGKILL)
    await eventually(lambda: place.child not in (first, None), 30)
    await eventually(lambda: heard()[3:] == ["settings", "late"], 30)
    assert place.num_restarts == 1


async def test_first_that_fails_is_told_and_leaves_nothing(make: Make, forbidden: Path) -> None:
    forbidden.touch()
    place = make()
    with pytest.raises(Unavailable, match="p-0 could not start: it may not"):
        await place.start()
    assert place.child is None and place.away.seconds > 0


async def test_tries_until_it_succeeds_and_waits_longer_each_time(
    make: Make, forbidden: Path, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float, *rest: Any) -> None:
        if seconds >= SOON.restart_first_s:
            waited.append(seconds)
        await sleep(min(seconds, 0.01), *rest)

    monkeypatch.setattr(place_module.asyncio, "sleep", note)
    counted: list[str] = []
    place = make(count_restart=counted.append)
    await place.start()
    first = place.child
    assert first is not None
    forbidden.touch()
    first.send(signal.SIGKILL)
    await eventually(lambda: len(counted) >= 4, 30)
    assert place.child is None and not place.is_ready
    forbidden.unlink()
    await eventually(lambda: place.child is not None, 30)
    assert waited[:4] == [0.01, 0.02, 0.04, 0.05]


async def test_renewal_is_there_before_the_old_one_is_told_to_leave(make: Make, eventually: Any) -> None:
    there: list[int] = []
    place = make()
    await place.start()
    old = place.child
    assert old is not None
    place._on_ready = lambda child: there.append(0 if gone(old.pid) else old.pid)
    await place.renew(signal.SIGTERM, 30)
    assert there == [old.pid] and place.child is not old
    await eventually(lambda: not place.leaving, 30)
    assert gone(old.pid)
    new = place.child
    assert new is not None
    new.send(signal.SIGKILL)  # it is looked after as the old one was
    await eventually(lambda: place.child not in (new, None), 30)


async def test_new_one_is_looked_after_while_the_old_one_leaves(make: Make, eventually: Any) -> None:
    place = make()
    await place.start()
    old = place.child
    await place.renew(signal.SIGCONT, 60)  # which the old one does not heed
    new = place.child
    assert new is not None and old is not None
    new.send(signal.SIGKILL)
    await eventually(lambda: place.child not in (new, None), 30)
    assert old in place.leaving and not gone(old.pid)


async def test_signals_reach_those_that_leave_too(make: Make, eventually: Any) -> None:
    place = make()
    await place.start()
    old = place.child
    await place.renew(signal.SIGCONT, 60)  # which the old one does not heed
    assert old is not None and not gone(old.pid)
    place.send(signal.SIGTERM)
    await eventually(lambda: gone(old.pid) and not place.leaving, 30)


async def test_start_leaves_there_what_a_renewal_has_put_in_place(make: Make) -> None:
    place = make()
    renewing = asyncio.ensure_future(place.renew(signal.SIGTERM, 30))
    await asyncio.sleep(0)  # it is the first
    await place.start()
    await renewing
    assert place.child is not None and [*place._children] == [place.child]
    assert not place.away.seconds


async def test_failed_renewal_changes_nothing(make: Make, forbidden: Path) -> None:
    place = make()
    await place.start()
    before = place.child
    forbidden.touch()
    with pytest.raises(Unavailable, match="it may not"):
        await place.renew(signal.SIGTERM, 30)
    assert place.child is before and place.is_ready and not place.leaving


async def test_stop_during_a_renewal_leaves_nothing(make: Make) -> None:
    place = make()
    await place.start()
    before = place.child
    assert before is not None
    await place.renew(signal.SIGCONT, 60)  # which it does not heed
    after = place.child
    await place.stop(30)
    assert after is not None and gone(after.pid) and gone(before.pid)


async def test_nothing_is_put_in_place_after_stop(make: Make) -> None:
    place = make()
    await place.start()
    await place.stop(30)
    for put in (place.start(), place.renew(signal.SIGTERM, 30)):
        with pytest.raises(Unavailable, match="p-0 is not started any more"):
            await put
    assert place.child is None and not place._children


async def test_stop_ends_what_is_being_put_in_place(make: Make) -> None:
    """Whether its process is only being made, or is there and not ready yet."""
    for num_steps in (1, 40):
        place = make()
        await place.start()
        renewing = asyncio.ensure_future(place.renew(signal.SIGTERM, 30))
        for _ in range(num_steps):
            await asyncio.sleep(0)
        await place.stop(30)
        with pytest.raises(Unavailable):
            await renewing
        assert place.child is None and not place._children


async def test_what_its_port_says_decides(make: Make, eventually: Any) -> None:
    says: dict[str, Any] = {"state": State.READY, "problem": None}
    endpoint = AdminEndpoint(
        Metrics(), host="127.0.0.1", port=0, state=lambda: says["state"], problem=lambda: says["problem"]
    )
    place = make(port=endpoint.port)
    await place.start()
    first = place.child
    await place.look()
    assert place.is_ready
    says["state"] = State.ENGINE_DOWN
    await place.look()
    assert not place.is_ready and place.child is first
    says["problem"] = "engine"  # which a new front would not mend
    await place.look()
    await place.look()
    assert place.child is first
    says["problem"] = "loop"
    await place.look()
    says["problem"] = None
    await eventually(lambda: place.child not in (first, None), 30)
    await asyncio.to_thread(endpoint.close)


async def test_silence_counts_only_while_it_is_looked_at(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    place = make(port=1)  # nobody answers there
    await place.start()
    first = place.child
    assert first is not None
    monkeypatch.setattr(place_module.time, "monotonic", lambda: now[0])
    place._looked_at = now[0]
    now[0] += 3600  # this process was held up, say
    monkeypatch.setattr(place_module, "_MAX_SILENCE_PER_LOOK_S", 0.4)
    await place.look()
    await place.look()
    assert not gone(first.pid)
    for _ in range(3):
        now[0] += 0.5
        await place.look()
    monkeypatch.undo()
    assert await first.ended() == -signal.SIGKILL
