"""Who may call: tokens, their rotation, and that nobody is told them."""

import os
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from qdts.errors import ConfigError, Unauthenticated
from qdts.service import auth
from qdts.service.auth import AuthConfig, Tokens, parse_certificate_tenants
from qdts.service.client.faults import error_of, status_of
from qdts.v1 import summarization_pb2 as pb

OLD, NEW = "old-token-0123456789", "new-token-0123456789"


def bearer(token: str, scheme: str = "Bearer") -> tuple[tuple[str, str], ...]:
    return (("authorization", f"{scheme} {token}"),)


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_calls_without_a_good_token_are_refused(serve: Any, kit: Any) -> None:
    server = await serve(auth=AuthConfig(tokens=f"{OLD},{NEW}"))
    for metadata in ((), bearer("wrong-token-0123456789"), bearer(OLD, "Basic"), bearer(""), bearer(OLD[:-1])):
        error = await refusal(server.stub.Summarize(kit.ask(), timeout=5, metadata=metadata))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert isinstance(error_of(status_of(error)), Unauthenticated)
    for token in (OLD, NEW):
        reply = await server.stub.Summarize(kit.ask(), timeout=5, metadata=bearer(token, "bearer"))
        assert reply.summary
    assert server.application.metrics.value("qdts_calls_total", method="Summarize", code="UNAUTHENTICATED") == 5


async def test_stream_without_a_token_is_refused(serve: Any, kit: Any) -> None:
    server = await serve(auth=AuthConfig(tokens=OLD))
    stream = server.stub.StreamSummarize(pb.StreamSummarizeRequest(request=kit.ask()), timeout=5)
    assert (await refusal(stream.read())).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_health_needs_no_token_and_reflection_does(serve: Any) -> None:
    server = await serve(auth=AuthConfig(tokens=OLD))
    checks: Any = health_pb2_grpc.HealthStub(server.channel)
    assert (await checks.Check(health_pb2.HealthCheckRequest(), timeout=5)).status == 1
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    call = reflection.ServerReflectionInfo(iter([ask]), timeout=5)
    assert (await refusal(call.read())).code() is grpc.StatusCode.UNAUTHENTICATED
    answer = await reflection.ServerReflectionInfo(iter([ask]), timeout=5, metadata=bearer(OLD)).read()
    assert len(answer.list_services_response.service) >= 3


async def test_no_token_reaches_the_log_or_a_reply(serve: Any, kit: Any, capfd: pytest.CaptureFixture[str]) -> None:
    server = await serve(auth=AuthConfig(tokens=OLD))
    error = await refusal(server.stub.Summarize(kit.ask(), timeout=5, metadata=bearer("wrong-" + NEW)))
    await server.stub.Summarize(kit.ask(), timeout=5, metadata=bearer(OLD))
    said = capfd.readouterr().err + str(error) + repr(AuthConfig(tokens=OLD))
    assert '"code": "UNAUTHENTICATED"' in said
    assert OLD not in said and NEW not in said


def test_a_token_may_be_bound_to_a_tenant(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"{OLD} search\n  {NEW}\t ads \nunbound-token-0123456789\n")
    tokens = Tokens(AuthConfig(token_file=str(file), tokens=f"given-token-0123456789 *, {OLD}"))
    assert tokens.bind_tenants
    bound = [tokens.check(bearer(token)) for token in (OLD, NEW, "unbound-token-0123456789", "given-token-0123456789")]
    assert bound == ["search", "ads", None, "*"]
    with pytest.raises(Unauthenticated):
        tokens.check(bearer(f"{OLD} search"))
    assert not Tokens(AuthConfig(tokens=OLD)).bind_tenants
    assert Tokens(AuthConfig()).check(()) is None


@pytest.mark.parametrize(
    "line", [f"{OLD} two names", f"{OLD} a=b", f"{OLD} a,b", f"{OLD} caf\u00e9", f"{OLD} {'x' * 129}"]
)
def test_a_tenant_that_is_no_name_stops_the_start_and_no_token_is_told(tmp_path: Path, line: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(line, encoding="utf-8")
    with pytest.raises(ConfigError, match="tenant's name must be") as caught:
        Tokens(AuthConfig(token_file=str(file)))
    assert OLD not in str(caught.value)


def test_tenants_by_certificate() -> None:
    text = "search.internal=search, spiffe://x/y?a=b = ads ,gate=*"
    tenants = {"search.internal": "search", "spiffe://x/y?a=b": "ads", "gate": "*"}
    assert parse_certificate_tenants(text) == tenants
    for wrong in ("search", "=a", "a=", "a=b c"):
        with pytest.raises(ConfigError, match=r"auth\.certificate_tenants"):
            AuthConfig(certificate_tenants=wrong)


def test_every_token_is_compared_whichever_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    whole = auth.hmac.compare_digest

    def counting(ours: bytes, theirs: bytes) -> bool:
        compared.append(len(ours))
        return whole(ours, theirs)

    monkeypatch.setattr(auth.hmac, "compare_digest", counting)
    tokens = Tokens(AuthConfig(tokens=f"{OLD},{NEW}"))
    tokens.check(bearer(OLD))
    with pytest.raises(Unauthenticated):
        tokens.check(bearer("x"))
    assert compared == [32] * 4


def test_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    now, file = 0.0, tmp_path / "tokens"
    file.write_text(f"{OLD}\n\n")
    tokens = Tokens(AuthConfig(token_file=str(file)), clock=lambda: now)
    tokens.check(bearer(OLD))
    replace(file, f"{OLD}\n{NEW}\n")
    with pytest.raises(Unauthenticated):
        tokens.check(bearer(NEW))  # not looked at yet
    now = 1.5
    tokens.check(bearer(NEW))
    tokens.check(bearer(OLD))
    replace(file, NEW)
    now = 3.0
    with pytest.raises(Unauthenticated):
        tokens.check(bearer(OLD))


@pytest.mark.parametrize(
    "spoil", [lambda file: file.unlink(), lambda file: replace(file, "\n"), lambda file: replace(file, "short")]
)
def test_file_that_cannot_be_used_changes_nothing(tmp_path: Path, spoil: Any) -> None:
    now, file = 0.0, tmp_path / "tokens"
    file.write_text(OLD)
    tokens = Tokens(AuthConfig(token_file=str(file)), clock=lambda: now)
    spoil(file)
    now = 2.0
    tokens.check(bearer(OLD))
    with pytest.raises(Unauthenticated):
        tokens.check(())


@pytest.mark.parametrize("content", [None, "", "short"])
def test_file_that_cannot_be_used_stops_the_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        Tokens(AuthConfig(token_file=str(file)))
    assert "short" not in str(caught.value)


def test_nobody_is_asked_where_there_are_no_tokens() -> None:
    tokens = Tokens(AuthConfig())
    assert not tokens.are_asked_for
    tokens.check(())


def replace(file: Path, text: str) -> None:
    """As secrets are replaced: another file in the old one's place."""
    other = file.with_suffix(".new")
    other.write_text(text)
    os.replace(other, file)
