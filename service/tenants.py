"""Whose quota pays for a call: what the caller has shown says so, and only then what it claims.

A token's tenant goes first, then that of the client's certificate, then the metadata key. The key is believed of a
caller that is bound to ANY, a proxy that knows whom it calls for, and of one that is bound to nothing where
quotas.trust_metadata says so. Who is bound to a tenant cannot claim another.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import grpc

from qdts.service.auth import Metadata, Tokens, parse_certificate_tenants
from qdts.service.quotas import QuotaConfig, tenant_of

# Bound to it: names the tenant of each call itself.
ANY = "*"
# Nobody's in particular: what has no tenant is paid from the default's bucket.
NOBODY = ""
# gRPC's names for what a verified certificate says, in the order in which they are looked for.
CERTIFICATE_NAMES = ("x509_subject_alternative_name", "x509_common_name")


class Tenants:
    """Of one server's callers. Event loop only."""

    def __init__(self, tokens: Tokens, certificate_tenants: str, quotas: QuotaConfig) -> None:
        self._tokens = tokens
        self._by_certificate = parse_certificate_tenants(certificate_tenants)
        self._quotas = quotas

    def of_call(self, bound: str | None, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        """The call's tenant, `bound` being what the caller's token is bound to."""
        shown = context.auth_context() if self._by_certificate else {}
        metadata = cast("Metadata | None", context.invocation_metadata())
        return self.of(bound, cast("Mapping[str, Iterable[bytes]]", shown), metadata)

    def of(self, bound: str | None, shown: Mapping[str, Iterable[bytes]], metadata: Metadata | None) -> str:
        """The tenant, or NOBODY; `shown` is gRPC's authentication context."""
        bound = bound if bound is not None else self._certificates(shown)
        if bound == ANY or (bound is None and self._trusts_strangers):
            return tenant_of(metadata, self._quotas.metadata_key)
        return bound or NOBODY

    @property
    def _trusts_strangers(self) -> bool:
        """Whether the key is believed of callers that are bound to nothing."""
        if self._quotas.trust_metadata == "auto":
            return not (self._tokens.bind_tenants or self._by_certificate)
        return self._quotas.trust_metadata == "always"

    def _certificates(self, shown: Mapping[str, Iterable[bytes]]) -> str | None:
        for kind in CERTIFICATE_NAMES:
            for name in shown.get(kind, ()):
                tenant = self._by_certificate.get(name.decode("utf-8", "replace"))
                if tenant is not None:
                    return tenant
        return None
