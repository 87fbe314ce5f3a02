"""Who calls: lets in who may, bounds what one peer and all have running, says whose quota pays. Of one port each."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import grpc

from qdts.service.auth import Metadata, Tokens
from qdts.service.config import ServerConfig
from qdts.service.peers import Peers
from qdts.service.tenants import NOBODY, Tenants


class Callers:
    """A port's. Event loop only."""

    def __init__(self, tokens: Tokens, tenants: Tenants | None = None, peers: Peers | None = None) -> None:
        self._tokens, self._tenants, self._peers = tokens, tenants, peers

    @classmethod
    def of_service(cls, config: ServerConfig) -> "Callers":
        """Those of the public port."""
        tokens = Tokens(config.auth)
        tenants = Tenants(tokens, config.auth.certificate_tenants, config.quotas)
        listen = config.server
        peers = Peers(max_calls=listen.max_calls_per_peer, kind=listen.peer, max_in_all=listen.max_concurrent_calls)
        return cls(tokens, tenants, peers)

    def check(self, metadata: Metadata | None) -> str | None:
        """What the caller's token is bound to, if to anything; Unauthenticated where it has none that is good."""
        return self._tokens.check(metadata)

    def calling(self, context: grpc.aio.ServicerContext[Any, Any]) -> AbstractContextManager[None]:
        """A block within which one call more of the peer runs; TooManyCalls or Overloaded as Peers.calling()."""
        return nullcontext() if self._peers is None else self._peers.calling(context.peer())

    def tenant(self, bound: str | None, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        """Whose quota pays for a call."""
        return NOBODY if self._tenants is None else self._tenants.of_call(bound, context)
