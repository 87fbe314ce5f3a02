"""Bearer tokens: who may call, and for which tenant. Keeps digests, never tokens, and tells nobody about them.

A token stands alone, or is followed by a space and the tenant it is bound to; tenants.py says what that means. Several
tokens are good at a time, so that a new one can be handed out before the old one goes. The file is read again when it
has changed; while it cannot be read, or holds nothing, what it last held stays good.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from qdts.errors import ConfigError, Unauthenticated
from qdts.service import logs

MIN_TOKEN_CHARS = 16
TENANT = re.compile(r"[!-+\--<>-~]{1,128}")
# How long a file that has changed may go unnoticed, in seconds.
CHECK_EVERY_S = 1.0

# A token's digest, and the tenant it is bound to, if to one.
Known = tuple[tuple[bytes, str | None], ...]
Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthConfig:
    """Where tokens come from; from nowhere: everybody may call."""

    token_file: str = ""  # one per line: "token", or "token tenant"
    # Separated by commas, for QDTS_AUTH__TOKENS: the command line is seen by the whole machine.
    tokens: str = field(default="", repr=False)
    # Whose certificate pays for which tenant, by DNS name, URI or common name: "search.internal=search, gate=*"
    certificate_tenants: str = ""

    def __post_init__(self) -> None:
        parse_certificate_tenants(self.certificate_tenants)


def parse_certificate_tenants(text: str) -> dict[str, str]:
    """Tenants by the names in certificates; ConfigError where it is not "name=tenant, name=tenant"."""
    tenants: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        # A URI may hold a sign of equality, a tenant's name not.
        name, sign, tenant = (side.strip() for side in part.rpartition("="))
        if not (sign and name):
            raise ConfigError(f"auth.certificate_tenants: {part!r}: must be name=tenant")
        tenants[name] = check_tenant(tenant, "auth.certificate_tenants")
    return tenants


class Tokens:
    """The tokens that are good now. Event loop only."""

    def __init__(self, config: AuthConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        """ConfigError where a token is too short to be one, or the file cannot be read or is empty."""
        self._clock = clock
        self._file = Path(config.token_file) if config.token_file else None
        self._given = _read_tokens(config.tokens.split(","))
        self._checked_at = clock()
        self._changed_at = _changed_at(self._file)
        self._filed = _read(self._file)

    @property
    def are_asked_for(self) -> bool:
        """Whether callers need one."""
        return bool(self._given or self._filed)

    @property
    def bind_tenants(self) -> bool:
        """Whether any is bound to a tenant."""
        return any(tenant is not None for _, tenant in (*self._given, *self._filed))

    def check(self, metadata: Metadata | None) -> str | None:
        """The tenant that the caller's token is bound to, if to one; Unauthenticated where it has none that is good."""
        self._look_again()
        if not self.are_asked_for:
            return None
        found = self._find(_sent(metadata or ()))
        if not found:
            raise Unauthenticated("a valid bearer token is needed")
        return next((tenant for tenant in found if tenant is not None), None)

    def _find(self, token: str) -> list[str | None]:
        """Its tenant, in the same time for any token: all are compared, by digests of equal length."""
        digest = hashlib.sha256(token.encode()).digest()
        known = (*self._given, *self._filed)
        is_good = [hmac.compare_digest(digest, good) for good, _ in known]
        return [tenant for (_, tenant), good in zip(known, is_good, strict=True) if good]

    def _look_again(self) -> None:
        now = self._clock()
        if self._file is None or now - self._checked_at < CHECK_EVERY_S:
            return
        self._checked_at = now
        try:
            changed_at = _changed_at(self._file)
            if changed_at != self._changed_at:
                self._filed, self._changed_at = _read(self._file), changed_at
                logs.info("tokens_reloaded", num_tokens=len(self._filed))
        except ConfigError as error:
            logs.warning("tokens_reload_failed", reason=str(error))


def _sent(metadata: Metadata) -> str:
    for key, value in metadata:
        if key == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""


def check_tenant(name: str, where: str) -> str:
    """A tenant's name as it is, or ConfigError: printable ASCII without spaces, commas and signs of equality."""
    if not TENANT.fullmatch(name):
        raise ConfigError(f"{where}: a tenant's name must be 1 to 128 printable characters without space, ',' and '='")
    return name


def _read_tokens(lines: Iterable[str], where: str = "auth.tokens") -> Known:
    given = [line.split(None, 1) for line in lines if line.strip()]
    if any(len(token) < MIN_TOKEN_CHARS for token, *_ in given):
        raise ConfigError(f"{where}: a token has fewer than {MIN_TOKEN_CHARS} characters")
    return tuple(
        (hashlib.sha256(token.encode()).digest(), check_tenant(tenant[0].strip(), where) if tenant else None)
        for token, *tenant in given
    )


def _read(file: Path | None) -> Known:
    if file is None:
        return ()
    try:
        known = _read_tokens(file.read_text(encoding="utf-8").splitlines(), f"token_file {file}")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"token_file: cannot read {file}") from error
    if not known:
        raise ConfigError(f"token_file: {file} holds no token")
    return known


def _changed_at(file: Path | None) -> tuple[int, int]:
    if file is None:
        return (0, 0)
    try:
        found = file.stat()
    except OSError as error:
        raise ConfigError(f"token_file: cannot read {file}: {error.strerror}") from error
    return found.st_mtime_ns, found.st_ino
