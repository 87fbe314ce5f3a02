"""Over gRPC to a server with a model, with deadlines of a few milliseconds and calls that are given up."""

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc.aio

from qdts.loadtest.fuzzing.findings import Findings, flood
from qdts.loadtest.fuzzing.mutations import METHODS, SERVICE, make_call

TIMEOUTS_S = (0.002, 0.02, 0.1, 2.0)
GIVEN_UP_SHARE = 0.1
# What gRPC says where a connection has as many streams as it may: UNAVAILABLE, and no sign of a crash.
REFUSED_STREAM, REFUSED = "RST_STREAM with error code 7", "REFUSED_STREAM"


async def fuzz_wire(findings: Findings, corpus: Sequence[bytes], port: int, *, seed: int, seconds: float) -> None:
    """The public port."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        calls = {name: channel.unary_stream(SERVICE + name) for name in METHODS}

        async def send(method: str, data: bytes, rng: random.Random) -> str:
            return await ended(calls[method](data, timeout=rng.choice(TIMEOUTS_S)), rng)

        await flood(partial(make_call, corpus=corpus), send, findings, seed=seed, seconds=seconds)
    note_unreachable(findings)


async def ended(call: Any, rng: random.Random) -> str:
    """Read a call to its end, or give it up; its status code's name, or REFUSED."""
    if rng.random() < GIVEN_UP_SHARE:
        asyncio.get_running_loop().call_later(rng.random() * 0.01, call.cancel)
    try:
        async for _ in call:
            pass
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        pass
    is_refused = REFUSED_STREAM in (await call.details() or "")
    return REFUSED if is_refused else (await call.code()).name


def note_unreachable(findings: Findings) -> None:
    """A server that is not there any more has crashed."""
    if findings.by_code["UNAVAILABLE"]:
        findings.crashes.append("the server could not be reached")
