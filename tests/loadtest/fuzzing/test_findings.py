"""What becomes of a flood is counted as what it is."""

import asyncio
import random

import pytest

from qdts.loadtest.fuzzing import findings as module
from qdts.loadtest.fuzzing.findings import FAULTS, Findings, flood


def make(rng: random.Random) -> tuple[str, bytes]:
    return "Method", rng.randbytes(4)


async def test_hang_and_crash_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANG_S", 0.01)

    async def send(method: str, data: bytes, rng: random.Random) -> str:
        if rng.random() < 0.1:
            raise ValueError
        await asyncio.sleep(1 if rng.random() < 0.5 else 0)
        return "OK"

    findings = Findings()
    await flood(make, send, findings, seed=1, seconds=0.2)
    assert findings.num_hangs > 0 and findings.by_code["OK"] > 0
    assert set(findings.crashes) == {"ValueError"}
    assert findings.num_requests == findings.num_hangs + findings.by_code["OK"]


async def test_senders_differ_and_the_same_seed_sends_the_same() -> None:
    sent: list[list[bytes]] = []
    for _ in range(2):
        messages: list[bytes] = []

        async def send(method: str, data: bytes, rng: random.Random, to: list[bytes] = messages) -> str:
            to.append(data)
            await asyncio.sleep(0)
            return "OK"

        await flood(make, send, Findings(), seed=3, seconds=0.05)
        sent.append(messages[: module.WIDTH])
    assert sent[0] == sent[1] and len(set(sent[0])) == module.WIDTH


@pytest.mark.parametrize("code", FAULTS)
def test_codes_that_blame_the_server(code: str) -> None:
    findings = Findings()
    findings.by_code.update({code: 2, "OK": 3, "INVALID_ARGUMENT": 1})
    assert (findings.num_internal, findings.num_requests) == (2, 6)
