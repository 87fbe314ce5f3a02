"""Where Redis is, who we are there, and how much of it we use. Off without a URL."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from qdts.errors import ConfigError
from qdts.service.limits import require_between

MIN_SECRET_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisConfig:
    """Redis 6 or later, or what speaks like it. Credentials never stand in the URL: it may be logged, they may not."""

    url: str = ""  # redis://host:port/0, rediss:// for TLS, unix:///path; "": no Redis
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    # What keys and checksums are made with: the same in all processes that share the cache.
    secret: str = field(default="", repr=False)
    secret_file: str = ""
    # For rediss://: who may sign the server's certificate ("": whom the system trusts), and our own.
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    prefix: str = "qdts"
    budget_ms: float = 5.0  # what one call may add to a request
    connect_ms: float = 1000.0  # connections are opened beside requests, which do not wait for them longer than that
    max_connections: int = 32
    max_value_bytes: int = 64 * 1024
    lease_ms: int = 1000  # so long one process makes a reply while others wait for it
    breaker_failures: int = 5  # so many in a row open it
    breaker_open_s: float = 1.0  # until the next try
    # Document states of mode indexed: one of 512 tokens takes some 200 KB.
    states: bool = True
    states_ttl_s: float = 86400.0
    max_states_bytes: int = 2 * 1024 * 1024

    def __post_init__(self) -> None:
        require_between("redis.budget_ms", self.budget_ms, 0.1, 10_000)
        require_between("redis.connect_ms", self.connect_ms, 1, 60_000)
        require_between("redis.max_connections", self.max_connections, 1, 10_000)
        require_between("redis.max_value_bytes", self.max_value_bytes, 256, 1 << 29)
        require_between("redis.lease_ms", self.lease_ms, 1, 60_000)
        require_between("redis.breaker_failures", self.breaker_failures, 1, 1000)
        require_between("redis.breaker_open_s", self.breaker_open_s, 0.001, 600)
        require_between("redis.states_ttl_s", self.states_ttl_s, 1, 30 * 86400)
        require_between("redis.max_states_bytes", self.max_states_bytes, 256, 1 << 29)
        if self.url:
            _check_url(urlsplit(self.url))
        _at_most_one("redis.password", self.password, self.password_file)
        _at_most_one("redis.secret", self.secret, self.secret_file)

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.startswith("rediss://")

    def read_password(self) -> str:
        """The password, "" for none. ConfigError where its file cannot be read."""
        return self.password or _read("redis.password_file", self.password_file)

    def read_secret(self) -> bytes:
        """The secret. ConfigError where there is none, or it is too short."""
        secret = (self.secret or _read("redis.secret_file", self.secret_file)).encode()
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigError(
                f"redis.secret_file: with redis.url a secret of at least {MIN_SECRET_BYTES} bytes is needed, "
                "the same in all processes that share the cache"
            )
        return secret


def _check_url(url: SplitResult) -> None:
    """ConfigError, without quoting the URL, unless it is an address and nothing else."""
    if url.scheme not in ("redis", "rediss", "unix"):
        raise ConfigError("redis.url: must begin with redis://, rediss:// or unix://")
    if "@" in url.netloc:
        raise ConfigError("redis.url: holds credentials; put them into redis.username and redis.password_file")
    if url.query:
        raise ConfigError("redis.url: holds options; they are settings of their own")


def _at_most_one(name: str, value: str, file: str) -> None:
    if value and file:
        raise ConfigError(f"{name} and {name}_file: set one of them")


def _read(name: str, file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: cannot read {file}: {type(error).__name__}") from error
