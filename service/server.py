"""The grpc.aio server: what is registered on it, its transport limits, how it leaves and fails no call."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from qdts.errors import ConfigError
from qdts.service.config import ServerConfig
from qdts.service.health import SERVICE_NAME, Health, State
from qdts.service.interceptors import CallInterceptor
from qdts.service.servicer import SummarizationServicer
from qdts.service.sturdy_server import sturdy_server
from qdts.service.tls import server_credentials
from qdts.service.transport import transport_options
from qdts.v1 import summarization_pb2_grpc as pb_grpc

# The generated module carries no types.
_register = cast("Callable[..., None]", vars(pb_grpc)["add_SummarizationServiceServicer_to_server"])

# gRPC's own bound is far above ours, since it says nothing and holds for health, too: it is for calls that we do not
# see yet, whose requests are on their way. Beside them a watcher of each connection has room.
CALLS_IN_SIGHT = 4
# For the last replies to leave after their handlers have returned.
FLUSH_S = 0.2


class GrpcServer:
    """Listens from start() to drain()."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        servicer: SummarizationServicer,
        health_of_server: Health,
        interceptor: CallInterceptor,
    ) -> None:
        self._config = config.server
        self._is_front = config.processes.fronts > 0
        self._health = health_of_server
        self._interceptor = interceptor
        self._server = sturdy_server(
            interceptors=[interceptor],
            options=transport_options(
                config.transport,
                max_message_bytes=config.limits.max_message_bytes,
                max_streams=config.server.max_streams_per_connection,
                shares_port=self._is_front,
            ),
            maximum_concurrent_rpcs=CALLS_IN_SIGHT * config.server.max_concurrent_calls
            + config.transport.max_connections,
        )
        _register(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(health_of_server.servicer, self._server)
        names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self._credentials = server_credentials(config.tls)
        # A front's port is its supervisor's; it takes part once it is ready: what comes goes to any who listen.
        self.port = config.server.port if self._is_front else self._bind()

    def _bind(self) -> int:
        address = f"{self._config.host}:{self._config.port}"
        try:
            if self._credentials is not None:
                return self._server.add_secure_port(address, self._credentials)
            return self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError(f"cannot listen on {address}: is it in use?") from error

    async def start(self) -> None:
        """Listen. What is answered depends on the servicer and on health."""
        if self._is_front:
            self._bind()
        await self._server.start()

    async def wait_for_end(self) -> None:
        """Return when it has stopped, or raise what stopped it."""
        # With a timeout: cancelled without one, it would take the server's own future with it, and the drain fail.
        while await self._server.wait_for_termination(timeout=3600):
            pass

    async def drain(self) -> None:
        """Say "not serving", wait for that to be noticed, let nothing in, let what runs finish."""
        was_open = self._health.state is not State.LOADING
        await self._health.become(State.DRAINING)
        await asyncio.sleep(self._config.drain_delay_s if was_open else 0)
        await self._health.become(State.CLOSED)
        stopping = asyncio.ensure_future(self._server.stop(self._config.drain_grace_s))
        # Health watchers never end by themselves; once our own calls have, nobody else is waited for.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._interceptor.wait_until_idle(), self._config.drain_grace_s)
        await self._server.stop(FLUSH_S)
        await stopping
