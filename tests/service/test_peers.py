"""One peer that floods leaves the others alone."""

import asyncio
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from qdts.errors import ConfigError, Overloaded, TooManyCalls
from qdts.service.client.faults import error_of, status_of
from qdts.service.config import ListenConfig
from qdts.service.peers import Peers
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

ONE, SAME_HOST, OTHER = "ipv4:192.0.2.1:1001", "ipv4:192.0.2.1:1002", "ipv6:%5B2001:db8::1%5D:1001"
BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)


def fill(peers: Peers, peer: str, times: int) -> ExitStack:
    stack = ExitStack()
    for _ in range(times):
        stack.enter_context(peers.calling(peer))
    return stack


def test_by_connection() -> None:
    peers = Peers(max_calls=2, kind="connection", max_in_all=100)
    with fill(peers, ONE, 2):
        with pytest.raises(TooManyCalls) as caught, peers.calling(ONE):
            pass
        assert 0.08 <= caught.value.retry_after_s <= 0.12
        with peers.calling(SAME_HOST), peers.calling(OTHER):
            pass
    with fill(peers, ONE, 2):
        pass
    assert not peers._num_calls


@pytest.mark.parametrize("alone", [OTHER, "unix:", "unix:/run/qdts.sock"])
def test_by_address(alone: str) -> None:
    peers = Peers(max_calls=2, kind="address", max_in_all=100)
    with fill(peers, ONE, 1), peers.calling(SAME_HOST):
        with pytest.raises(TooManyCalls), peers.calling(ONE):
            pass
        with peers.calling(alone):
            pass


def test_without_a_bound() -> None:
    with fill(Peers(max_calls=0, kind="address", max_in_all=20_000), ONE, 10_000):
        pass


def test_all_together() -> None:
    peers = Peers(max_calls=2, kind="connection", max_in_all=3)
    with fill(peers, ONE, 2), fill(peers, SAME_HOST, 1):
        with pytest.raises(TooManyCalls), peers.calling(ONE):
            pass
        with pytest.raises(Overloaded) as caught, peers.calling(OTHER):
            pass
        assert type(caught.value) is Overloaded and 0.08 <= caught.value.retry_after_s <= 0.12
    with fill(peers, OTHER, 2), fill(peers, ONE, 1):
        pass


def test_settings_out_of_bounds() -> None:
    with pytest.raises(ConfigError, match=r"server\.max_calls_per_peer"):
        ListenConfig(max_calls_per_peer=-1)


async def test_a_flood_of_one_client_leaves_anothers_calls_unharmed(serve: Any, kit: Any, eventually: Any) -> None:
    """Without the bound the flood would take all that admission lets in."""
    listen = kit.Listen(port=0, drain_delay_s=0.0, max_calls_per_peer=8)
    server = await serve(server=listen, engine=kit.Engine(max_batch=4))
    flooder = grpc.aio.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)])
    stub: Any = pb_grpc.SummarizationServiceStub(flooder)
    server.model.gate.clear()
    flood = [stub.Summarize(kit.ask(text=f"Number {n} is asked.", options=BYPASS), timeout=60) for n in range(200)]
    value = server.application.metrics.value
    await eventually(lambda: value("qdts_peer_refusals_total") == 192, 30)
    assert len(server.model.prepared) <= 8, "those that were refused cost no work"
    others = [server.summarize(text=f"Another {n} asks.", options=BYPASS, timeout=60) for n in range(4)]
    answered = asyncio.gather(*others)
    await eventually(lambda: len(server.model.prepared) == 12, 30)
    server.model.gate.set()
    assert {reply.rung for reply in await answered} == {pb.RUNG_FULL}
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    refused = [error_of(status_of(each)) for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
    assert len(refused) == 192 and all(isinstance(error, TooManyCalls) for error in refused)
    assert sum(isinstance(each, pb.SummarizeResponse) for each in outcomes) == 8
    assert (await stub.Summarize(kit.ask(options=BYPASS), timeout=10)).rung == pb.RUNG_FULL
    await flooder.close()
