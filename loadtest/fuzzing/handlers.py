"""Straight to the handlers, with all that surrounds them, in this process: parsing, validation, cache, single flight
and the rungs that need no model.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import grpc
import grpc.aio

from qdts.loadtest.fuzzing.findings import Findings, flood
from qdts.loadtest.fuzzing.mutations import make_call
from qdts.service.application import Application
from qdts.service.config import EngineConfig, ListenConfig, MetricsConfig, ServerConfig


class _Ended(Exception):
    """How gRPC takes a handler out of its abort()."""


class _Context:
    """As much of gRPC's context as handlers use."""

    def __init__(self, left_s: float | None, metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        self._left_s, self._metadata = left_s, metadata
        self.code = grpc.StatusCode.OK

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    def time_remaining(self) -> float | None:
        return self._left_s

    def set_trailing_metadata(self, metadata: object) -> None: ...

    async def write(self, message: Any) -> None:
        message.SerializeToString()  # what cannot be sent must not be written

    async def abort(self, code: grpc.StatusCode, details: str, metadata: object) -> None:
        self.code = code
        raise _Ended(details)


class _Registry:
    """Takes what a service registers, in a server's stead."""

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None: ...

    def add_registered_method_handlers(self, service: str, methods: dict[str, Any]) -> None:
        self.methods.update({f"/{service}/{name}": handler for name, handler in methods.items()})


@dataclass(frozen=True, kw_only=True)
class _Details:
    method: str
    invocation_metadata: tuple[tuple[str, str], ...] = ()


async def handlers_of(application: Application) -> dict[str, Any]:
    """By method, what the server of `application` calls, with all that surrounds it."""
    from qdts.v1 import summarization_pb2_grpc as pb_grpc

    registry, parts = _Registry(), cast("Any", application)
    cast("Any", pb_grpc).add_SummarizationServiceServicer_to_server(parts._servicer, registry)

    async def surrounded(name: str) -> Any:
        details = cast("Any", _Details(method=name))

        async def found(_: object) -> Any:
            return registry.methods[name]

        return (await parts._server._interceptor.intercept_service(found, details)).unary_stream

    return {name.rpartition("/")[2]: await surrounded(name) for name in registry.methods}


async def fuzz_handlers(findings: Findings, corpus: Sequence[bytes], *, seed: int, seconds: float) -> None:
    """Without a model."""
    config = ServerConfig(
        server=ListenConfig(port=0, drain_delay_s=0),
        engine=EngineConfig(model="none"),
        metrics=MetricsConfig(enabled=False),
    )
    application = Application(config)
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: findings.crashes.append(str(context["message"]))
    )
    await application.start()
    handlers = await handlers_of(application)

    async def send(method: str, data: bytes, rng: random.Random) -> str:
        ids = ("r-1", "\x7f", "x" * 200, "")
        metadata = (("x-request-id", rng.choice(ids)),) if rng.random() < 0.3 else ()
        context = _Context(rng.choice((None, 0.0, 0.002, 1.0, 1e9, float("inf"))), metadata)
        try:
            await handlers[method](data, context)
        except _Ended:
            pass
        return context.code.name

    await flood(partial(make_call, corpus=corpus), send, findings, seed=seed, seconds=seconds)
    await application.stop()
