"""The fuzzer finds what it is for, and nothing where there is nothing."""

import random
from typing import Any

import pytest

from qdts.loadtest import fuzz
from qdts.loadtest.mutations import make_corpus
from qdts.service import servicer

CORPUS = make_corpus(40, 3)


async def test_handlers_withstand_it() -> None:
    findings = fuzz.Findings()
    await fuzz.fuzz_handlers(findings, CORPUS, seed=1, seconds=1.0)
    assert findings.num_requests > 50
    assert {"OK", "INVALID_ARGUMENT"} <= set(findings.by_code)
    assert (findings.num_internal, findings.num_hangs, findings.crashes) == (0, 0, [])


async def test_fault_in_a_handler_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = servicer.read_request

    def broken(message: Any, limits: Any, **path: Any) -> Any:
        if message.options.tier > 3:
            raise KeyError("tier")
        return whole(message, limits, **path)

    monkeypatch.setattr(servicer, "read_request", broken)
    findings = fuzz.Findings()
    await fuzz.fuzz_handlers(findings, CORPUS, seed=1, seconds=1.0)
    assert findings.num_internal > 0


async def test_hang_and_crash_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "HANG_S", 0.01)

    async def send(method: str, data: bytes, rng: random.Random) -> str:
        import asyncio

        if rng.random() < 0.1:
            raise ValueError
        await asyncio.sleep(1 if rng.random() < 0.5 else 0)
        return "OK"

    findings = fuzz.Findings()
    await fuzz._flood(send, findings, CORPUS, seed=1, seconds=0.2)
    assert findings.num_hangs > 0 and findings.by_code["OK"] > 0
    assert set(findings.crashes) == {"ValueError"}


def test_server_that_is_not_there_is_found() -> None:
    findings = fuzz.Findings()
    num = fuzz.fuzz_connections(findings, CORPUS, fuzz.free_port(), seed=1, seconds=5)
    assert num == 1 and findings.crashes == ["the server does not listen any more"]
