"""The operators' port withstands it, and faults, open doors and servers that end are found."""

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import Unauthenticated
from qdts.loadtest.fuzzing import operators
from qdts.loadtest.fuzzing.findings import Findings
from qdts.loadtest.fuzzing.mutations import draw
from qdts.service import logs
from qdts.service.admin_config import AdminConfig
from qdts.service.application import Application
from qdts.service.callers import Callers
from qdts.service.config import EngineConfig, ListenConfig, MetricsConfig, ServerConfig
from qdts.v1 import admin_pb2 as pb

TOKEN = "operators-token-0123456789"
CORPUS = draw(operators.MESSAGES, 40, 3)


@pytest.fixture(autouse=True)
def _level_as_before() -> Iterator[None]:
    """SetLogLevel is called."""
    before = logs.level_now()
    yield
    logs.configure(before)


@pytest.fixture(name="application")
async def _application(tmp_path: Path) -> AsyncIterator[Application]:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n", encoding="utf-8")
    config = ServerConfig(
        server=ListenConfig(port=0, drain_delay_s=0),
        engine=EngineConfig(model="none"),
        metrics=MetricsConfig(enabled=False),
        admin=AdminConfig(port=0, token_file=str(tokens)),
    )
    application = Application(config)
    await application.start()
    yield application
    await application.stop()


async def fuzzed(application: Application, seconds: float = 1.0) -> Findings:
    findings = Findings()
    port = application.operators_port
    assert port is not None
    await operators.fuzz_operators(findings, CORPUS, port, token=TOKEN, seed=1, seconds=seconds)
    return findings


async def test_it_withstands_it(application: Application) -> None:
    findings = await fuzzed(application)
    assert {"OK", "INVALID_ARGUMENT", "UNAUTHENTICATED", "FAILED_PRECONDITION"} <= set(findings.by_code)
    assert (findings.num_internal, findings.num_hangs, findings.crashes) == (0, 0, [])


async def test_fault_in_a_method_is_found(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Application) -> None:
        raise KeyError("canary")

    monkeypatch.setattr(Application, "stop_canary", broken)
    assert (await fuzzed(application)).num_internal > 0


async def test_an_open_door_is_found(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who shows the token's beginning is let in."""
    whole = Callers.check

    def lax(self: Callers, metadata: Any) -> str | None:
        try:
            return whole(self, metadata)
        except Unauthenticated:
            if any(value == f"Bearer {TOKEN[:-1]}" for _, value in metadata):
                return None
            raise

    monkeypatch.setattr(Callers, "check", lax)
    findings = await fuzzed(application)
    assert findings.crashes and all(crash.endswith("without a good token") for crash in findings.crashes)


async def test_a_server_that_is_about_to_end_is_found(application: Application) -> None:
    await application._server.drain()
    assert "the server is not ready any more: SERVER_STATE_CLOSED" in (await fuzzed(application, 0.2)).crashes


async def test_nobody_there_is_found(application: Application) -> None:
    assert application._admin is not None
    await application._admin.stop()
    findings = await fuzzed(application, 0.2)
    assert {"the server could not be reached", "the server is not ready any more: UNAVAILABLE"} <= {*findings.crashes}


def test_calls_are_of_every_method_but_drain_and_of_every_kind_of_caller() -> None:
    rng = random.Random(1)
    calls = [operators.make_call(rng, CORPUS) for _ in range(2_000)]
    names = {method.name for method in pb.DESCRIPTOR.services_by_name["AdminService"].methods}
    assert {method for method, _ in calls} == names - {"Drain"}
    whole = sum(data in CORPUS for _, data in calls) / len(calls)
    assert 0.3 < whole < 0.7
    headers = [operators.choose_headers(rng, TOKEN) for _ in range(2_000)]
    right = headers.count(operators.right_headers(TOKEN)) / len(headers)
    assert 0.5 < right < 0.7 and {} in headers
