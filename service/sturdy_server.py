"""grpc.aio's server, without a way to end it from outside: one call to a method whose name is no UTF-8 would.

grpc.aio decodes the name of each call to an unregistered method in the loop that accepts calls; where that fails, the
loop ends, and the server with it (grpcio 1.85; found by loadtest/fuzz.py). All methods of ours are registered, so calls
to others are answered here, before their name is looked at. What this needs of grpc.aio's inside is little, and
tests/service/test_abuse.py fails where a new version has changed it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import grpc
import grpc.aio
from grpc._cython import cygrpc

from qdts.service.transport import Option

_core = cast("Any", cygrpc)


class _Core(_core.AioServer):
    """As grpc.aio's own, but that calls to unregistered methods never reach its loop."""

    async def _request_call(self) -> None:
        refusals: set[asyncio.Task[None]] = set()
        while True:
            call = await super()._request_call()
            task = asyncio.ensure_future(_refuse(call))
            refusals.add(task)  # the loop holds tasks only weakly
            task.add_done_callback(refusals.discard)


async def _refuse(call: object) -> None:
    context = _core._ServicerContext(call, None, None, asyncio.get_running_loop())
    try:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    except (grpc.aio.AbortError, grpc.aio.BaseError):
        pass  # said, or nobody is there any more


def sturdy_server(
    *, interceptors: Sequence[grpc.aio.ServerInterceptor], options: Sequence[Option], maximum_concurrent_rpcs: int
) -> grpc.aio.Server:
    """grpc.aio.server(), for services whose methods are all registered: what generated code does."""
    server = grpc.aio.server(
        interceptors=interceptors, options=options, maximum_concurrent_rpcs=maximum_concurrent_rpcs
    )
    parts = cast("Any", server)
    parts._server = _Core(parts._loop, None, (), tuple(interceptors), tuple(options), maximum_concurrent_rpcs)
    return server
