"""The operators' RPCs, on a port and a server of their own: no call that comes in on the public one is before them."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from qdts.errors import ConfigError
from qdts.service.admin_servicer import AdminServicer
from qdts.service.auth import AuthConfig, Tokens
from qdts.service.callers import Callers
from qdts.service.config import ServerConfig
from qdts.service.interceptors import CallInterceptor
from qdts.service.metrics import Metrics
from qdts.service.sturdy_server import sturdy_server
from qdts.service.tls import server_credentials
from qdts.service.tracing import NoTracer
from qdts.service.transport import transport_options
from qdts.v1 import admin_pb2 as pb
from qdts.v1 import admin_pb2_grpc as pb_grpc

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["AdminService"].full_name
# Requests are short and few.
MAX_MESSAGE_BYTES, MAX_CALLS = 64 * 1024, 64
STOP_S = 1.0

# The generated module carries no types.
_register = cast("Callable[..., None]", vars(pb_grpc)["add_AdminServiceServicer_to_server"])


class AdminServer:
    """Listens from start() to stop(). ConfigError where it cannot, or where a file is of no use."""

    def __init__(self, config: ServerConfig, servicer: AdminServicer, metrics: Metrics) -> None:
        self._config = config
        callers = Callers(Tokens(AuthConfig(token_file=config.admin.token_file)))
        interceptor = CallInterceptor(
            metrics,
            callers=callers,
            tracer=NoTracer(),
            write_timeout_s=config.transport.write_timeout_s,
            service=SERVICE_NAME,
        )
        options = transport_options(config.transport, max_message_bytes=MAX_MESSAGE_BYTES, max_streams=MAX_CALLS)
        self._server = sturdy_server(interceptors=[interceptor], options=options, maximum_concurrent_rpcs=MAX_CALLS)
        _register(servicer, self._server)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = self._bind()

    async def start(self) -> None:
        """Listen, and say "serving": that is this port's own health, not that of the server it operates."""
        for name in ("", SERVICE_NAME):
            await self._health.set(name, HealthCheckResponse.SERVING)
        await self._server.start()

    async def stop(self) -> None:
        """Finish what runs, soon, and listen no more."""
        await self._server.stop(STOP_S)

    def _bind(self) -> int:
        admin = self._config.admin
        address = f"{admin.host}:{admin.port}"
        credentials = server_credentials(replace(self._config.tls, client_ca_file=admin.client_ca_file))
        try:
            if credentials is not None:
                return self._server.add_secure_port(address, credentials)
            return self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError(f"admin: cannot listen on {address}: is it in use?") from error
