"""Many requests at once against a real server: does health answer, how do calls end, does memory stay flat.

Health is asked by this process, the load comes from another one, so neither waits for the other's event loop.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qdts.errors import QdtsError
from qdts.loadtest.bench_startup import READY_TIMEOUT_S, free_port, resident_mb, serving, wait_ready
from qdts.loadtest.report import finish, make_parser
from qdts.models.evaluation.samples import load_row_file
from qdts.service.client import AsyncClient, Client, ClientConfig, RetryPolicy

NUM_AT_ONCE = 200
# Between two health checks: often enough to see a stall, seldom enough not to be the load.
CHECK_EVERY_S = 0.01
# Requests at a time while memory is watched.
WIDTH = 16

Ended = tuple[str, float]


def measure(args: argparse.Namespace) -> dict[str, object]:
    """One server, a burst per deadline, then a stream of requests."""
    port = free_port()
    with serving(port) as pid:
        with Client(f"127.0.0.1:{port}") as client:
            wait_ready(client, time.monotonic() + READY_TIMEOUT_S)
        figures: dict[str, object] = {"load_before": round(os.getloadavg()[0], 2)}
        figures |= _prefixed("idle", _watch_health(port, idle_s=2.0))
        for timeout_s in (2.0, 10.0):
            figures |= _prefixed(f"burst_{timeout_s:g}s", _burst(port, timeout_s))
        figures |= _memory(port, pid, num_requests=400 if args.quick else 4000)
        figures["load_after"] = round(os.getloadavg()[0], 2)
        return figures


def _burst(port: int, timeout_s: float) -> dict[str, object]:
    """NUM_AT_ONCE requests in one moment, health asked until the last has ended."""
    here, there = multiprocessing.Pipe()
    load = multiprocessing.get_context("spawn").Process(
        target=_send, args=(port, NUM_AT_ONCE, NUM_AT_ONCE, timeout_s, there)
    )
    load.start()
    here.recv()  # it has read its documents and is about to send
    figures = _watch_health(port, until=here)
    ended: list[Ended] = here.recv()
    load.join()
    return figures | _describe(ended)


def _memory(port: int, pid: int, num_requests: int) -> dict[str, object]:
    """Resident memory before, halfway and after many requests."""
    before = resident_mb(pid)
    halves: list[float] = []
    for _ in range(2):
        asyncio.run(_ask(port, _items(num_requests // 2), WIDTH, timeout_s=1.0))
        halves.append(resident_mb(pid))
    names = ("rss_mb_before", "rss_mb_halfway", "rss_mb_after")
    sizes = (round(size, 1) for size in (before, *halves))
    return {"requests": num_requests, **dict(zip(names, sizes, strict=True))}


def _watch_health(port: int, *, until: Connection | None = None, idle_s: float = 0.0) -> dict[str, object]:
    """Milliseconds of health checks until there is something to receive, or for so long."""
    took_ms: list[float] = []
    ends_at = time.monotonic() + idle_s
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        while not until.poll() if until is not None else time.monotonic() < ends_at:
            started = time.monotonic()
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            took_ms.append(1000 * (time.monotonic() - started))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
            time.sleep(CHECK_EVERY_S)
    return {"health_checks": len(took_ms), **_percentiles("health_ms", took_ms)}


def _send(port: int, num: int, width: int, timeout_s: float, told: Connection) -> None:
    items = _items(num)
    told.send("ready")
    told.send(asyncio.run(_ask(port, items, width, timeout_s)))


def _items(num: int) -> list[tuple[str, str]]:
    rows = load_row_file()
    return [(row.query, row.document) for row in (rows[i % len(rows)] for i in range(num))]


async def _ask(port: int, items: Sequence[tuple[str, str]], width: int, timeout_s: float) -> list[Ended]:
    """How each request ended, and after how many milliseconds; none is answered from the cache."""
    slots = asyncio.Semaphore(width)
    config = ClientConfig(timeout_s=timeout_s, retry=RetryPolicy(max_attempts=1))

    async def one(client: AsyncClient, query: str, document: str) -> Ended:
        async with slots:
            started = time.monotonic()
            try:
                end = (await client.summarize(query, document, cache_policy="bypass")).rung
            except QdtsError as fault:
                end = type(fault).__name__
            return end, 1000 * (time.monotonic() - started)

    async with AsyncClient(f"127.0.0.1:{port}", config) as client:
        return await asyncio.gather(*(one(client, *item) for item in items))


def _describe(ended: Sequence[Ended]) -> dict[str, object]:
    counts = Counter(end for end, _ in ended)
    return {"ends": dict(counts.most_common()), **_percentiles("call_ms", [took for _, took in ended])}


def _percentiles(name: str, values: Sequence[float]) -> dict[str, object]:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {f"{name}_p50": round(statistics.median(ordered), 1), f"{name}_p99": round(p99, 1)}


def _prefixed(prefix: str, figures: dict[str, object]) -> dict[str, object]:
    return {f"{prefix}_{name}": value for name, value in figures.items()}


def main() -> int:
    """Measure and report."""
    args = make_parser(__doc__ or "").parse_args()
    finish("load", args, measure(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
