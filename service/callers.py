"""Who calls: lets in who may, and says whose quota pays. Of a port, of the public one or the operators'."""

from typing import Any

import grpc

from qdts.service.auth import Metadata, Tokens
from qdts.service.config import ServerConfig
from qdts.service.tenants import NOBODY, Tenants


class Callers:
    """A port's. Event loop only."""

    def __init__(self, tokens: Tokens, tenants: Tenants | None = None) -> None:
        self._tokens, self._tenants = tokens, tenants

    @classmethod
    def of_service(cls, config: ServerConfig) -> "Callers":
        """Those of the public port."""
        tokens = Tokens(config.auth)
        return cls(tokens, Tenants(tokens, config.auth.certificate_tenants, config.quotas))

    def check(self, metadata: Metadata | None) -> str | None:
        """What the caller's token is bound to, if to anything; Unauthenticated where it has none that is good."""
        return self._tokens.check(metadata)

    def tenant(self, bound: str | None, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        """Whose quota pays for a call."""
        return NOBODY if self._tenants is None else self._tenants.of_call(bound, context)
