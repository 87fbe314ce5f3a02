"""Where the server is, how to reach it and how long to wait. Opens nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from qdts import __version__
from qdts.errors import ConfigError
from qdts.service.client.retry import RetryPolicy

MAX_TIMEOUT_S = 3600.0
# What gRPC allows in a key; "grpc-" is its own, "-bin" would need bytes.
_KEY = re.compile(r"(?!grpc-)[a-z0-9_.-]+(?<!-bin)")

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files in PEM form; no CA file means the system's, key and chain are for mutual TLS."""

    ca_file: Path | None = None
    key_file: Path | None = None
    chain_file: Path | None = None

    def __post_init__(self) -> None:
        if (self.key_file is None) != (self.chain_file is None):
            raise ConfigError("tls.key_file and tls.chain_file go together: one of them is missing")

    def credentials(self) -> grpc.ChannelCredentials:
        """What a secure channel is opened with."""
        return grpc.ssl_channel_credentials(_read(self.ca_file), _read(self.key_file), _read(self.chain_file))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """`timeout_s` holds for every call that names none; `token` is sent as a bearer token, over TLS only.

    `extra_metadata` goes with every call, too, such as ("x-qdts-tenant", "search"). With `throttle_ratio`, 2 being a
    good one, calls fail here with Overloaded, unsent, while the server refuses most of what it is asked (throttle.py).
    """

    timeout_s: float = 1.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    tls: Tls | None = None
    token: str | None = field(default=None, repr=False)
    extra_metadata: Metadata = ()
    throttle_ratio: float | None = None

    def __post_init__(self) -> None:
        check_timeout(self.timeout_s)
        if self.throttle_ratio is not None and not 1 <= self.throttle_ratio <= 100:
            raise ConfigError(f"throttle_ratio: {self.throttle_ratio} is not in [1, 100]")
        for key, value in (*self.extra_metadata, ("authorization", self.token or "")):
            _check_pair(key, value)
        if any(key == "authorization" for key, _ in self.extra_metadata):
            raise ConfigError("extra_metadata: authorization is the token's")
        if self.token is not None and self.tls is None:
            raise ConfigError("token: needs tls, a token is not sent in the clear")

    @property
    def metadata(self) -> Metadata:
        """What goes with every call."""
        bearer = () if self.token is None else (("authorization", f"Bearer {self.token}"),)
        return (*bearer, *self.extra_metadata)


def check_timeout(timeout_s: float) -> float:
    """`timeout_s` itself, if it is one."""
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ConfigError(f"timeout_s: {timeout_s} is not in (0, {MAX_TIMEOUT_S:g}]")
    return timeout_s


def _check_pair(key: str, value: str) -> None:
    """gRPC would refuse them at the first call, and quote a value that may be a secret."""
    if _KEY.fullmatch(key) is None:
        raise ConfigError(
            f"metadata {key!r}: a key is of a-z 0-9 - _ . and neither begins with grpc- nor ends with -bin"
        )
    if not (value.isascii() and (value.isprintable() or not value)):
        raise ConfigError(f"metadata {key}: its value must be printable ASCII")


def channel_options() -> Sequence[tuple[str, str | int]]:
    """Retries are ours alone; a server that comes back is found within a fraction of a second."""
    return (
        ("grpc.enable_retries", 0),
        ("grpc.primary_user_agent", f"qdts-python/{__version__}"),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1000),
    )


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as fault:
        raise ConfigError(f"tls: cannot read {path}: {fault.strerror}") from fault
