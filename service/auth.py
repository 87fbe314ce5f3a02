"""Bearer tokens: who may call. Keeps digests, never tokens, and says nothing about them to anybody.

Several tokens are good at a time, so that a new one can be handed out before the old one goes. The file is read
again when it has changed; while it cannot be read, or holds nothing, what it last held stays good.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from qdts.errors import ConfigError, Unauthenticated
from qdts.service import logs

MIN_TOKEN_CHARS = 16
# How long a file that has changed may go unnoticed, in seconds.
CHECK_EVERY_S = 1.0

Digests = tuple[bytes, ...]
Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthConfig:
    """Where tokens come from; from nowhere: everybody may call."""

    token_file: str = ""  # one token per line
    # Separated by commas, for QDTS_AUTH__TOKENS: the command line is seen by the whole machine.
    tokens: str = field(default="", repr=False)


class Tokens:
    """The tokens that are good now. Event loop only."""

    def __init__(self, config: AuthConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        """ConfigError where a token is too short to be one, or the file cannot be read or is empty."""
        self._clock = clock
        self._file = Path(config.token_file) if config.token_file else None
        self._given = _digests(config.tokens.split(","))
        self._checked_at = clock()
        self._changed_at = _changed_at(self._file)
        self._filed = _read(self._file)

    @property
    def are_asked_for(self) -> bool:
        """Whether callers need one."""
        return bool(self._given or self._filed)

    def check(self, metadata: Metadata | None) -> None:
        """Unauthenticated unless the metadata of a call carries a token that is good."""
        self._look_again()
        if self.are_asked_for and not self._is_good(_sent(metadata or ())):
            raise Unauthenticated("a valid bearer token is needed")

    def _is_good(self, token: str) -> bool:
        """In the same time for any token: all are compared, by digests of equal length."""
        digest = hashlib.sha256(token.encode()).digest()
        return sum([hmac.compare_digest(digest, good) for good in (*self._given, *self._filed)]) > 0

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


def _digests(tokens: Iterable[str]) -> Digests:
    given = [token.strip() for token in tokens if token.strip()]
    if any(len(token) < MIN_TOKEN_CHARS for token in given):
        raise ConfigError(f"auth: a token has fewer than {MIN_TOKEN_CHARS} characters")
    return tuple(hashlib.sha256(token.encode()).digest() for token in given)


def _read(file: Path | None) -> Digests:
    if file is None:
        return ()
    try:
        digests = _digests(file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"auth.token_file: cannot read {file}") from error
    if not digests:
        raise ConfigError(f"auth.token_file: {file} holds no token")
    return digests


def _changed_at(file: Path | None) -> tuple[int, int]:
    if file is None:
        return (0, 0)
    try:
        found = file.stat()
    except OSError as error:
        raise ConfigError(f"auth.token_file: cannot read {file}: {error.strerror}") from error
    return found.st_mtime_ns, found.st_ino
