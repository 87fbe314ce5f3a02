"""A client that is refused sends less; one that is answered sends all."""

from random import Random
from typing import Any

import pytest

from qdts.errors import ConfigError, Overloaded
from qdts.service.client import AsyncClient, Client, ClientConfig
from qdts.service.client.retry import Failure, Pushback
from qdts.service.client.throttle import MEMORY_S, Throttle
from qdts.v1 import summarization_pb2 as pb

FULL = Failure(is_transient=False, pushback=Pushback(delay_s=0.1))
LATE = Failure(is_transient=False)
THROTTLED = ClientConfig(timeout_s=10, throttle_ratio=2)


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def sent(throttle: Throttle, failure: Failure | None, times: int) -> int:
    """Of so many requests, how many are sent; all of them end so."""
    count = 0
    for _ in range(times):
        try:
            throttle.enter()
        except Overloaded:
            continue
        count += 1
        throttle.leave(failure)
    return count


def build(ratio: float | None = 2, clock: Clock | None = None) -> Throttle:
    return Throttle(ratio, clock=clock or Clock(), chance=Random(1).random)


def test_what_is_answered_is_sent() -> None:
    throttle = build()
    assert sent(throttle, None, 100) == 100
    assert sent(throttle, LATE, 100) == 100, "a deadline that passes is no refusal"


def test_without_a_ratio_all_is_sent() -> None:
    assert sent(build(ratio=None), FULL, 1000) == 1000


def test_a_server_that_refuses_all_is_asked_little() -> None:
    throttle = build()
    sent(throttle, None, 100)
    assert sent(throttle, FULL, 100) == 100, "as many on top as were accepted: the ratio is 2"
    assert 300 < sent(throttle, FULL, 1000) < 420  # 201 ln(1201 / 201) = 359
    assert 300 < sent(throttle, FULL, 10_000) < 560  # 201 ln(11_201 / 1201) = 449


def test_a_server_is_asked_for_all_that_it_can_and_about_as_much_on_top() -> None:
    """It has room for a quarter of what comes."""
    throttle, room, num_sent, num_taken = build(), 0.0, 0, 0
    for _ in range(4000):
        room = min(10.0, room + 0.25)
        takes = room >= 1
        if sent(throttle, None if takes else FULL, 1):
            num_sent, num_taken, room = num_sent + 1, num_taken + takes, room - takes
    assert num_taken > 950
    assert 1800 < num_sent < 2200


def test_refusals_fade() -> None:
    clock = Clock()
    throttle = build(clock=clock)
    sent(throttle, FULL, 1000)
    assert sent(throttle, None, 20) < 10
    clock.now += 20 * MEMORY_S
    assert sent(throttle, None, 20) == 20


async def test_clients_stop_sending_to_a_server_that_is_full(script: Any, url: str) -> None:
    script.answers = [Overloaded("busy", retry_after_s=30)]
    async with AsyncClient(url, THROTTLED) as client:
        for _ in range(200):
            with pytest.raises(Overloaded):
                await client.summarize("q", "d")
        assert 1 <= len(script.requests) < 100
        before = len(script.requests)
        with pytest.raises(Overloaded, match="not sent"):
            for _ in range(200):
                async for _event in client.summarize_stream("q", "d"):
                    pass
        assert len(script.requests) - before < 100


def test_the_one_for_threads_does_so_too(script: Any, url: str) -> None:
    script.answers = [Overloaded("busy", retry_after_s=30)]
    with Client(url, THROTTLED) as client:
        for _ in range(200):
            with pytest.raises(Overloaded):
                client.summarize("q", "d")
    assert 1 <= len(script.requests) < 100


def test_a_server_that_answers_gets_every_call(script: Any, url: str) -> None:
    script.events = [pb.StreamSummarizeResponse(response=pb.SummarizeResponse(summary="ok"))]
    with Client(url, THROTTLED) as client:
        for _ in range(50):
            assert client.summarize("q", "d").summary == "ok"
            assert len(list(client.summarize_stream("q", "d"))) == 1
    assert len(script.requests) == 100


@pytest.mark.parametrize("ratio", [0.5, 101])
def test_settings_out_of_bounds(ratio: float) -> None:
    with pytest.raises(ConfigError, match="throttle_ratio"):
        ClientConfig(throttle_ratio=ratio)
