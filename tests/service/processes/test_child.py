"""A child process: what it is told, what it says, and how it ends, whatever it does."""

import signal
import sys
import time

import pytest

from qdts.errors import Unavailable
from qdts.service.processes.child import Child, Command

READY = 'import json, sys, time; print(json.dumps({"ready": True, "admin_port": 7}), flush=True)\n'
STAY = "sys.stdin.read()\n"


async def start(program: str, told: bytes = b"") -> Child:
    return await Child.start("child-0", Command(args=(sys.executable, "-c", program), told=told))


async def test_is_told_and_gets_ready_and_ends_with_its_input() -> None:
    child = await start("import sys; told = sys.stdin.readline()\n" + READY + "sys.exit(len(told))", b"seven\n")
    await child.wait_ready(30)
    assert child.admin_port == 7
    assert await child.ended() == 6
    assert await child.ended() == 6


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (
            'print(\'{"ready": false, "reason": "no such model"}\', flush=True); import time; time.sleep(99)',
            "no such model",
        ),
        ("raise SystemExit(3)", "exit status"),
        ("print('hello')", "exit status"),
        ("print('[1]')", "exit status"),
        ("print('x' * 200000)", "exit status"),
        ("import time; time.sleep(99)", "not ready within 0.5 s"),
    ],
)
async def test_one_that_does_not_get_ready_is_gone_and_says_why(program: str, reason: str) -> None:
    child = await start(program)
    with pytest.raises(Unavailable, match=f"child-0 could not start: .*{reason}"):
        await child.wait_ready(0.5 if "within" in reason else 30)
    assert child.ending is not None and child.ending.done()


async def test_program_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="child-0"):
        await Child.start("child-0", Command(args=("/no/such/program",), told=b""))


async def test_one_that_ignores_its_end_is_killed() -> None:
    child = await start("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "time.sleep(99)")
    await child.wait_ready(30)
    started_at = time.monotonic()
    assert await child.stop(0.3) == -signal.SIGKILL
    assert time.monotonic() - started_at < 30


async def test_talkative_one_is_not_held_up() -> None:
    child = await start(READY + "print('x' * 1_000_000)\nsys.exit(5)")
    await child.wait_ready(30)
    assert await child.ended() == 5


async def test_says_which_model_it_runs() -> None:
    child = await start("""print('{"ready": true, "admin_port": null, "model": "m@1"}', flush=True)""")
    await child.wait_ready(30)
    assert (child.model, child.admin_port) == ("m@1", None)
    await child.ended()


async def test_is_told_more_later_and_nothing_when_it_is_gone() -> None:
    child = await start(
        "import sys; sys.stdin.readline()\n" + READY + "sys.exit(len(sys.stdin.readline()))", b"seven\n"
    )
    child.tell(b"orders\n")
    await child.wait_ready(30)
    assert await child.ended() == 7
    child.tell(b"more\n")


async def test_signal_to_one_that_is_gone_is_nothing() -> None:
    child = await start(READY)
    await child.wait_ready(30)
    await child.ended()
    child.send(signal.SIGTERM)
    assert await child.stop(1) == 0
