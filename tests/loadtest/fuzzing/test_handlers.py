"""Handlers withstand it, and one that does not is found."""

from typing import Any

import pytest

from qdts.loadtest.fuzzing.findings import Findings
from qdts.loadtest.fuzzing.handlers import fuzz_handlers
from qdts.loadtest.fuzzing.mutations import make_corpus
from qdts.service import servicer

CORPUS = make_corpus(40, 3)


async def test_handlers_withstand_it() -> None:
    findings = Findings()
    await fuzz_handlers(findings, CORPUS, seed=1, seconds=1.0)
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
    findings = Findings()
    await fuzz_handlers(findings, CORPUS, seed=1, seconds=1.0)
    assert findings.num_internal > 0
