"""Samples of several processes as one list: nothing lost, nothing changed but for the label."""

from typing import Any

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from qdts.service.admin import AdminEndpoint
from qdts.service.health import State
from qdts.service.metrics import Metrics
from qdts.service.processes.merged_metrics import MergedMetrics


def endpoint(metrics: Metrics) -> AdminEndpoint:
    return AdminEndpoint(metrics, host="127.0.0.1", port=0, state=lambda: State.READY, problem=lambda: None)


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_sample_of_every_process_is_there_once() -> None:
    each = [Metrics(), Metrics()]
    each[0].observe_call("Summarize", "OK", 0.02)
    each[1].observe_call("Summarize", "OK", 0.2)
    each[1].observe_call("Summarize", "INTERNAL", 3)
    endpoints = [endpoint(metrics) for metrics in each]
    merged = MergedMetrics(lambda: [(f"front-{n}", one.port) for n, one in enumerate(endpoints)])
    found = samples(generate_latest(merged.registry).decode())
    for number, metrics in enumerate(each):
        for (name, labels), value in samples(generate_latest(metrics.registry).decode()).items():
            assert found.pop((name, labels | {("process", f"front-{number}")})) == value
    assert found == {("qdts_process_up", frozenset({("process", f"front-{n}")})): 1 for n in (0, 1)}
    for one in endpoints:
        one.close()


def test_types_and_texts_stay_and_each_family_stands_once() -> None:
    each = [endpoint(Metrics()), endpoint(Metrics())]
    merged = MergedMetrics(lambda: [(f"front-{n}", one.port) for n, one in enumerate(each)])
    own = {f.name: f for f in text_string_to_metric_families(generate_latest(Metrics().registry).decode())}
    families: list[Any] = [*text_string_to_metric_families(generate_latest(merged.registry).decode())]
    names = [family.name for family in families]
    assert len(names) == len(set(names)) and set(own) <= set(names)
    for family in families:
        if family.name in own:
            assert (family.type, family.documentation) == (own[family.name].type, own[family.name].documentation)
    for one in each:
        one.close()


def test_process_that_is_away_or_silent_is_not_up() -> None:
    there = endpoint(Metrics())
    merged = MergedMetrics(lambda: [("front-0", there.port), ("front-1", None), ("engine-0", 1)])
    merged.count_restart("front-1")
    found = samples(generate_latest(merged.registry).decode())
    up = {
        name: found[("qdts_process_up", frozenset({("process", name)}))] for name in ("front-0", "front-1", "engine-0")
    }
    assert up == {"front-0": 1, "front-1": 0, "engine-0": 0}
    assert found[("qdts_process_restarts_total", frozenset({("process", "front-1")}))] == 1
    there.close()


def test_samples_of_this_process_stand_beside_them() -> None:
    there, own = endpoint(Metrics()), Metrics()
    own.observe_call("GetStatus", "OK", 0.01)
    merged = MergedMetrics(lambda: [("front-0", there.port)])
    merged.add("supervisor", own.registry.restricted_registry(["qdts_calls_total"]))
    found = samples(generate_latest(merged.registry).decode())
    labels = {"process": "supervisor", "method": "GetStatus", "code": "OK"}
    assert found[("qdts_calls_total", frozenset(labels.items()))] == 1
    assert [name for name, of in found if ("process", "supervisor") in of] == ["qdts_calls_total"]
    there.close()


def test_no_process_yet_is_no_fault() -> None:
    assert "qdts_process_up" in generate_latest(MergedMetrics(lambda: []).registry).decode()
