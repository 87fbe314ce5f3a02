"""Who pays how much, and when it is too much."""

from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from qdts.errors import ConfigError, QuotaExceeded
from qdts.models.document import Document, Summary
from qdts.service.quotas import QuotaConfig, Quotas, parse_rates, reserved_units, tenant_of, used_units
from qdts.service.reply import CacheStatus, Reply, Rung
from qdts.service.request import Request
from qdts.v1 import summarization_pb2 as pb


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def request(tenant: str = "", num_chars: int = 280, max_words: int = 30) -> Request:
    """By default one that reserves 100 units."""
    return Request(
        query="q", document=Document(text="x" * num_chars), document_sha256="", max_words=max_words, tenant=tenant
    )


def spend(quotas: Quotas, tenant: str = "", units: float = 100) -> None:
    with quotas.spending(request(tenant)) as bill:
        bill.units = units


def test_without_rates_nothing_is_bounded() -> None:
    quotas = Quotas(QuotaConfig())
    for _ in range(1000):
        spend(quotas, units=1e6)


def test_a_bucket_refills_at_its_rate() -> None:
    clock = Clock()
    quotas = Quotas(QuotaConfig(tenants="a=50", burst_s=4), clock=clock)
    spend(quotas, "a")
    spend(quotas, "a")
    with pytest.raises(QuotaExceeded) as caught:
        spend(quotas, "a")
    assert caught.value.retry_after_s == pytest.approx(2.0, rel=0.2)
    clock.now += 2.0
    spend(quotas, "a")
    clock.now += 3600
    spend(quotas, "a")
    spend(quotas, "a")
    with pytest.raises(QuotaExceeded):
        spend(quotas, "a")


def test_those_who_are_refused_together_come_back_at_different_times() -> None:
    quotas, times = Quotas(QuotaConfig(tenants="a=50, b=50", burst_s=4), clock=Clock()), list[float]()
    for tenant in "ab":
        spend(quotas, tenant, units=200)
    for number in range(50):
        with pytest.raises(QuotaExceeded) as caught:
            spend(quotas, "ab"[number % 2])
        times.append(caught.value.retry_after_s)
    assert len(set(times)) == 50 and 1.6 <= min(times) < 1.8 < 2.2 < max(times) <= 2.4


def test_what_was_not_used_is_given_back_and_what_was_used_on_top_is_owed() -> None:
    clock = Clock()
    quotas = Quotas(QuotaConfig(tenants="a=50", burst_s=4), clock=clock)
    for _ in range(50):
        spend(quotas, "a", units=1)
    spend(quotas, "a", units=400)
    with pytest.raises(QuotaExceeded) as caught:
        spend(quotas, "a")
    assert caught.value.retry_after_s == pytest.approx((400 - 150 + 100) / 50, rel=0.2)


def test_requests_in_flight_have_reserved_theirs() -> None:
    quotas = Quotas(QuotaConfig(tenants="a=50", burst_s=4), clock=Clock())
    with quotas.spending(request("a")), quotas.spending(request("a")), pytest.raises(QuotaExceeded):
        spend(quotas, "a")


def test_who_fails_pays_what_was_reserved() -> None:
    quotas = Quotas(QuotaConfig(tenants="a=50", burst_s=2), clock=Clock())
    with pytest.raises(KeyError), quotas.spending(request("a")):
        raise KeyError
    with pytest.raises(QuotaExceeded):
        spend(quotas, "a")


def test_tenants_without_a_rate_share_the_default() -> None:
    quotas = Quotas(QuotaConfig(tenants="a=50", default_rate=50, burst_s=2), clock=Clock())
    spend(quotas, "made up")
    with pytest.raises(QuotaExceeded):
        spend(quotas, "another")
    spend(quotas, "a")


def test_a_request_larger_than_the_bucket_is_let_in_when_it_is_full() -> None:
    quotas = Quotas(QuotaConfig(tenants="a=5", burst_s=1), clock=Clock())
    spend(quotas, "a")
    with pytest.raises(QuotaExceeded):
        spend(quotas, "a")


def test_units() -> None:
    summary = Summary(sentences=(), coverage=1.0, num_input_tokens=300, num_output_tokens=20)
    made = Reply(summary=summary, rung=Rung.FULL, origin_rung=Rung.FULL, cache_status=CacheStatus.MISS)
    assert used_units(made) == 320
    assert used_units(made.from_cache(stale=False)) == used_units(made.from_cache(stale=True)) == 1
    assert used_units(Reply(summary=Summary(sentences=(), coverage=1.0), rung=Rung.LEAD, origin_rung=Rung.LEAD)) == 1
    assert reserved_units(request()) == 100
    assert reserved_units(request(num_chars=2_000_000)) == 512 + 30


def test_rates() -> None:
    assert parse_rates(" a=1, b = 2.5 ,") == {"a": 1.0, "b": 2.5}
    for wrong in ("a", "a=x", "a=-1"):
        with pytest.raises(ConfigError, match=r"quotas\.tenants"):
            QuotaConfig(tenants=wrong)
    with pytest.raises(ConfigError, match="lower case"):
        QuotaConfig(metadata_key="X-Tenant")


def test_tenant_of_a_call() -> None:
    metadata = (("x-other", "b"), ("x-qdts-tenant", "a"), ("x-qdts-tenant-bin", b"c"))
    assert tenant_of(metadata, "x-qdts-tenant") == "a"
    assert tenant_of(metadata, "x-none") == tenant_of(None, "x-qdts-tenant") == ""


async def test_over_grpc_it_is_resource_exhausted_and_says_when_to_come_back(serve: Any, kit: Any) -> None:
    server = await serve(quotas=QuotaConfig(tenants="a=100", burst_s=1))
    options = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)
    await server.stub.Summarize(kit.ask(options=options), timeout=10, metadata=(("x-qdts-tenant", "a"),))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.stub.Summarize(kit.ask(options=options), timeout=10, metadata=(("x-qdts-tenant", "a"),))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(caught.value.trailing_metadata() or ())
    assert 0 < int(trailers["grpc-retry-pushback-ms"]) < 5000
    status = Status.FromString(trailers["grpc-status-details-bin"])  # type: ignore[arg-type]
    kinds = [detail.TypeName() for detail in status.details]
    assert kinds == ["google.rpc.ErrorInfo", RetryInfo.DESCRIPTOR.full_name, QuotaFailure.DESCRIPTOR.full_name]
    assert (await server.stub.Summarize(kit.ask(options=options), timeout=10)).rung == pb.RUNG_FULL
