"""The closed loop against a real server: what it counts is what was answered."""

import pytest

from qdts.errors import ConfigError
from qdts.loadtest.bench_front import KINDS
from qdts.loadtest.closed_loop import ClosedConfig, drive_closed
from qdts.loadtest.simulation.costs import INSTANT
from qdts.loadtest.simulation.server import Served, ServedConfig
from qdts.v1 import summarization_pb2 as pb


def request(query: str) -> bytes:
    document = pb.Document(text="The lighthouse was built in 1874. Its lamp could be seen from afar.")
    return pb.SummarizeRequest(query=query, document=document).SerializeToString()


@pytest.fixture(name="served", scope="module")
def _served() -> object:
    with Served(ServedConfig(costs=INSTANT)) as served:
        yield served


def test_everybody_is_answered_and_counted(served: Served) -> None:
    config = ClosedConfig(url=served.url, num_callers=4, num_connections=2, seconds=0.8, warm_s=0.2)
    run = drive_closed([request(f"When was it built, {n}?") for n in range(5)], config)
    assert run.num_failed == 0
    assert 0 < run.rps * config.seconds <= run.num_answered
    assert run.latency.p50_ms is not None and run.latency.p99_ms is not None
    assert 0 < run.latency.p50_ms <= run.latency.p99_ms
    assert run.driver_cpu_ms_per_rpc > 0


def test_refusals_are_no_answers(served: Served) -> None:
    run = drive_closed([request(" ")], ClosedConfig(url=served.url, num_callers=1, seconds=0.2, warm_s=0))
    assert run.num_answered == 0 and run.num_failed > 0 and run.rps == 0


@pytest.mark.parametrize("wrong", [{"num_callers": 0}, {"num_connections": 0}, {"seconds": 0}, {"warm_s": -1}])
def test_bounds_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"closed_loop.{next(iter(wrong))}"):
        ClosedConfig(**{"url": "", "num_callers": 1, **wrong})  # type: ignore[arg-type]


def test_kinds_ask_the_model() -> None:
    assert {kind.tier for kind in KINDS.values()} == {"generative"}
