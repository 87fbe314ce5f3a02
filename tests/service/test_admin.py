"""The operators' port: what it says, and that it says so while the loop or the model is stuck."""

import asyncio
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from qdts.service.heartbeat import LifecycleConfig
from qdts.v1 import summarization_pb2 as pb

BYPASS = pb.SummarizeOptions(cache_policy=pb.CACHE_POLICY_BYPASS)


def look(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status, response.read().decode().strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode().strip()


async def test_readyz_says_the_state_from_start_to_exit(kit: Any) -> None:
    go = threading.Event()

    def load(config: Any) -> Any:
        go.wait(10)
        return kit.Model()

    application = kit.Application(
        kit.config(metrics=kit.Metrics(port=0), server=kit.Listen(port=0, drain_delay_s=0.3)), load=load
    )
    starting = asyncio.ensure_future(application.start())
    await asyncio.sleep(0.05)
    port = application._endpoint.port
    assert await asyncio.to_thread(look, port, "/readyz") == (503, "loading")
    assert await asyncio.to_thread(look, port, "/livez") == (200, "alive")  # a long load is no reason to be killed
    go.set()
    await starting
    assert await asyncio.to_thread(look, port, "/readyz") == (200, "ready")
    stopping = asyncio.ensure_future(application.stop())
    await asyncio.sleep(0.1)
    assert await asyncio.to_thread(look, port, "/readyz") == (503, "draining")
    assert await asyncio.to_thread(look, port, "/livez") == (200, "alive")
    await stopping


async def test_unknown_path_is_told_the_known_ones(serve: Any, kit: Any) -> None:
    server = await serve(metrics=kit.Metrics(port=0))
    status, text = await asyncio.to_thread(look, server.application._endpoint.port, "/")
    assert (status, text) == (404, "/metrics, /readyz, /livez")


async def test_stuck_model_ends_liveness_until_it_comes_back(serve: Any, kit: Any, eventually: Any) -> None:
    server = await serve(metrics=kit.Metrics(port=0), lifecycle=LifecycleConfig(max_model_call_s=0.1))
    port = server.application._endpoint.port
    server.model.gate.clear()
    call = asyncio.ensure_future(server.summarize(options=BYPASS))
    await eventually(lambda: server.model.num_steps > 0)
    await asyncio.sleep(0.2)
    assert await asyncio.to_thread(look, port, "/livez") == (503, "model")
    server.model.gate.set()
    assert (await call).rung == pb.RUNG_FULL
    assert await asyncio.to_thread(look, port, "/livez") == (200, "alive")


async def test_stuck_loop_ends_liveness_and_keeps_nobody_waiting(serve: Any, kit: Any) -> None:
    server = await serve(metrics=kit.Metrics(port=0), lifecycle=LifecycleConfig(max_loop_stall_s=1.0))
    port = server.application._endpoint.port
    seen: list[tuple[int, str, float]] = []

    def watch() -> None:
        for _ in range(16):
            started_at = time.perf_counter()
            seen.append((*look(port, "/livez"), time.perf_counter() - started_at))
            time.sleep(0.1)

    watching = threading.Thread(target=watch)
    watching.start()
    time.sleep(1.5)  # the loop's own thread
    await asyncio.to_thread(watching.join)
    assert seen[0][:2] == (200, "alive")
    assert (503, "loop") in [entry[:2] for entry in seen]
    took_s = sorted(entry[2] for entry in seen)
    assert took_s[len(took_s) // 2] < 0.05
    assert await asyncio.to_thread(look, port, "/livez") == (200, "alive")


async def test_two_servers_cannot_share_the_port(serve: Any, kit: Any) -> None:
    from qdts.errors import ConfigError

    server = await serve(metrics=kit.Metrics(port=0))
    other = kit.Application(
        kit.config(metrics=kit.Metrics(port=server.application._endpoint.port)), load=lambda _: None
    )
    with pytest.raises(ConfigError, match="metrics: cannot listen"):
        await other.start()
    await other.stop()
