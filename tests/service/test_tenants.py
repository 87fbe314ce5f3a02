"""Whose quota pays: what was shown, not what was claimed."""

from typing import Any

import grpc
import pytest

from qdts.service.auth import AuthConfig, Tokens
from qdts.service.quotas import QuotaConfig
from qdts.service.tenants import ANY, Tenants
from qdts.v1 import summarization_pb2 as pb

BOUND, PROXY, UNBOUND = "bound-token-0123456789", "proxy-token-0123456789", "unbound-token-0123456789"
CLAIM = (("x-qdts-tenant", "claimed"),)


def tenants(tokens: str = "", certificates: str = "", trust: Any = "auto") -> Tenants:
    config = AuthConfig(tokens=tokens, certificate_tenants=certificates)
    return Tenants(Tokens(config), certificates, QuotaConfig(trust_metadata=trust))


@pytest.mark.parametrize("trust", ["auto", "always", "never"])
def test_who_is_bound_cannot_claim_another(trust: str) -> None:
    assert tenants(f"{BOUND} search", trust=trust).of("search", {}, CLAIM) == "search"


@pytest.mark.parametrize("trust", ["auto", "always", "never"])
def test_a_proxy_names_whom_it_calls_for(trust: str) -> None:
    ours = tenants(f"{PROXY} *", trust=trust)
    assert ours.of(ANY, {}, CLAIM) == "claimed"
    assert ours.of(ANY, {}, ()) == ""


@pytest.mark.parametrize(
    ("trust", "tokens", "certificates", "tenant"),
    [
        ("auto", "", "", "claimed"),  # as where nobody is asked who it is
        ("auto", UNBOUND, "", "claimed"),  # as before tokens could be bound
        ("auto", f"{BOUND} search, {UNBOUND}", "", ""),
        ("auto", UNBOUND, "client=a", ""),
        ("always", f"{BOUND} search, {UNBOUND}", "client=a", "claimed"),
        ("never", UNBOUND, "", ""),
    ],
)
def test_who_is_bound_to_nothing(trust: str, tokens: str, certificates: str, tenant: str) -> None:
    assert tenants(tokens, certificates, trust).of(None, {}, CLAIM) == tenant


def test_certificates() -> None:
    ours = tenants("", "search.internal=search, client=ads, gate=*")
    shown = {"x509_common_name": [b"client"], "x509_subject_alternative_name": [b"other", b"search.internal"]}
    assert ours.of(None, shown, CLAIM) == "search", "the common name is looked at last"
    assert ours.of("token's", shown, CLAIM) == "token's"
    assert ours.of(None, {"x509_common_name": [b"client"]}, CLAIM) == "ads"
    assert ours.of(None, {"x509_common_name": [b"gate"]}, CLAIM) == "claimed"
    assert ours.of(None, {"x509_common_name": [b"\xff"]}, CLAIM) == ""
    assert ours.of(None, {"transport_security_type": [b"client"]}, CLAIM) == ""


def bearer(token: str, tenant: str = "") -> tuple[tuple[str, str], ...]:
    claim = (("x-qdts-tenant", tenant),) if tenant else ()
    return (("authorization", f"Bearer {token}"), *claim)


async def test_over_grpc_nobody_spends_anothers_quota(serve: Any, kit: Any) -> None:
    auth = AuthConfig(tokens=f"{BOUND} modest, {PROXY} *, {UNBOUND}")
    server = await serve(auth=auth, quotas=QuotaConfig(tenants="modest=1, rich=100000", burst_s=0.1))
    options = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)

    async def asks(*metadata: Any) -> grpc.StatusCode:
        try:
            await server.stub.Summarize(kit.ask(options=options), timeout=10, metadata=bearer(*metadata))
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    assert [await asks(UNBOUND, "modest") for _ in range(3)] == [grpc.StatusCode.OK] * 3, "claimed in vain"
    assert await asks(BOUND, "rich") is grpc.StatusCode.OK
    assert await asks(BOUND, "rich") is grpc.StatusCode.RESOURCE_EXHAUSTED, "claimed in vain"
    assert await asks(PROXY, "modest") is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await asks(PROXY, "rich") is grpc.StatusCode.OK
    assert await asks("unknown-token-0123456789", "rich") is grpc.StatusCode.UNAUTHENTICATED
