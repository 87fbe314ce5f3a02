"""What is counted, and that it can be fetched."""

import asyncio
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from qdts.service.metrics import Metrics
from qdts.v1 import summarization_pb2 as pb

BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)


async def test_replies_are_counted_by_rung_cache_and_reason(server: Any, kit: Any) -> None:
    value = server.application.metrics.value
    await server.stub.Summarize(kit.ask(), timeout=10)
    await server.stub.Summarize(kit.ask(), timeout=10)
    server.model.invents = True
    low = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS, priority=pb.PRIORITY_BULK)
    await server.stub.Summarize(kit.ask(options=low), timeout=10)
    assert value("qdts_replies_total", rung="full", priority="interactive") == 1
    assert value("qdts_replies_total", rung="cache", priority="interactive") == 1
    assert value("qdts_replies_total", rung="extractive", priority="interactive") == 0
    assert value("qdts_replies_total", rung="extractive", priority="bulk") == 1
    assert value("qdts_degraded_total", reason="guard_rejected", priority="bulk") == 1
    assert value("qdts_degraded_total", reason="guard_rejected", priority="interactive") == 0
    assert value("qdts_cache_total", status="hit") == 1
    assert value("qdts_slo_total", outcome="met") == 3
    assert value("qdts_requests_total", priority="interactive", outcome="met") == 2
    assert value("qdts_requests_total", priority="bulk", outcome="met") == 1
    assert value("qdts_prediction_ratio_count", rung="full") == 1
    assert value("qdts_queue_delay_seconds_count") >= 2
    assert value("qdts_pressure", priority="interactive") == 0
    assert value("qdts_tokens_total", direction="in") == 100
    assert value("qdts_queue_seconds_count") == 1
    assert value("qdts_batch_size_count") >= 2
    assert value("qdts_ready") == 1


async def test_endpoint_serves_them_without_any_text(serve: Any, kit: Any) -> None:
    server = await serve(metrics=kit.Metrics(port=0))
    await server.stub.Summarize(kit.ask(text="Quetzalcoatlus flies."), timeout=10)
    port = server.application._endpoint.port

    def fetch() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            return response.read().decode()

    text = await asyncio.to_thread(fetch)
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {"qdts_calls", "qdts_call_seconds", "qdts_replies", "qdts_slo", "qdts_queue_length"} <= families
    assert "Quetzalcoatlus" not in text


def test_seconds_are_counted_on_both_sides_of_the_target() -> None:
    """An answer is to take at most 55 ms: who did and who did not can be told apart."""
    metrics = Metrics()
    for seconds in (0.050, 0.054, 0.056, 0.074, 0.090):
        metrics.observe_call("Summarize", "OK", seconds)

    def within(bound: str) -> float:
        return metrics.value("qdts_call_seconds_bucket", method="Summarize", code="OK", le=bound)

    assert [within(bound) for bound in ("0.05", "0.055", "0.075", "0.1")] == [1, 2, 4, 5]
