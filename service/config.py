"""Every setting of the server as one frozen tree, and the one place that reads TOML, environment and flags.

Later sources win: defaults, TOML file, environment, flags. A setting has one name, "section.key": in TOML
`key` under `[section]`, in the environment QDTS_SECTION__KEY. The double underscore is what keeps the
variables that Kubernetes injects for a service called qdts (QDTS_SERVER_PORT=tcp://...) from being mistaken
for settings.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, cast, get_args, get_origin, get_type_hints

from qdts.errors import ConfigError
from qdts.service.admin_config import AdminConfig
from qdts.service.admission_config import AdmissionConfig
from qdts.service.auth import AuthConfig
from qdts.service.canary import CanaryConfig
from qdts.service.heartbeat import LifecycleConfig
from qdts.service.limits import Limits, require_between
from qdts.service.peers import PeerKind
from qdts.service.processes.config import ProcessesConfig
from qdts.service.quotas import QuotaConfig
from qdts.service.redis.config import RedisConfig
from qdts.service.shadow import ShadowConfig
from qdts.service.tls import TlsConfig
from qdts.service.tracing import TracingConfig
from qdts.service.transport import TransportConfig

ENV_PREFIX = "QDTS_"
ENV_CONFIG_FILE = "QDTS_CONFIG"
# Keys whose values no error may quote.
_SECRETS = frozenset({"password", "secret"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """Where the server listens and how it leaves."""

    host: str = "127.0.0.1"
    port: int = 50051  # 0: any free one
    # Calls of ours that may run at once, of all peers together; health is not counted.
    max_concurrent_calls: int = 4096
    max_streams_per_connection: int = 1024
    # Calls of ours that one peer may have running, 0: no bound; peers.py says what a peer is. By default one connection
    # leaves a quarter of admission.max_requests to the others.
    max_calls_per_peer: int = 768
    peer: PeerKind = "connection"
    # Between "not serving" and closing the door: time for load balancers to notice.
    drain_delay_s: float = 1.0
    drain_grace_s: float = 30.0

    def __post_init__(self) -> None:
        require_between("server.port", self.port, 0, 65535)
        require_between("server.max_concurrent_calls", self.max_concurrent_calls, 1, 1_000_000)
        require_between("server.max_streams_per_connection", self.max_streams_per_connection, 1, 1_000_000)
        require_between("server.max_calls_per_peer", self.max_calls_per_peer, 0, 1_000_000)
        require_between("server.drain_delay_s", self.drain_delay_s, 0, 600)
        require_between("server.drain_grace_s", self.drain_grace_s, 0, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineConfig:
    """The deadline of calls that bring none, and the longest one."""

    default_ms: int = 2_000
    max_ms: int = 60_000

    def __post_init__(self) -> None:
        require_between("deadlines.max_ms", self.max_ms, 1, 3_600_000)
        require_between("deadlines.default_ms", self.default_ms, 1, self.max_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """The reply cache in this process."""

    max_entries: int = 50_000  # 0: no cache
    max_bytes: int = 64 * 1024 * 1024
    ttl_s: float = 3600.0
    # Up to such a share sooner, by chance: what was made together is not made anew together.
    ttl_jitter: float = 0.1
    # For so long after its time an entry answers at once, and is made anew meanwhile.
    revalidate_s: float = 60.0
    # For so long after its time an entry may still answer where the alternative is worse.
    stale_s: float = 3600.0
    # For so long it is remembered that the model cannot answer a request.
    negative_s: float = 60.0

    def __post_init__(self) -> None:
        require_between("cache.max_entries", self.max_entries, 0, 100_000_000)
        require_between("cache.max_bytes", self.max_bytes, 0, 1 << 40)
        require_between("cache.ttl_s", self.ttl_s, 0, 30 * 86400)
        require_between("cache.ttl_jitter", self.ttl_jitter, 0, 0.9)
        require_between("cache.revalidate_s", self.revalidate_s, 0, 30 * 86400)
        require_between("cache.stale_s", self.stale_s, 0, 30 * 86400)
        require_between("cache.negative_s", self.negative_s, 0, 86400)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The generative model and the thread that runs it."""

    # A model directory; "" takes the one that ships with qdts, if any; "none" serves without a model.
    model: str = ""
    # cuda and tensorrt need a GPU, tensorrt engines built for it, too: `qdts train engines`.
    runtime: Literal["onnx", "eager", "cuda", "tensorrt"] = "onnx"
    precision: Literal["int8", "fp32", "fp16", "bf16", "fp8"] = "int8"
    num_threads: int = 0  # 0: as many as the machine has cores
    max_batch: int = 1  # summaries that are written at once
    # Tokens that are read between two steps, or one document of more: what is being written waits for so long.
    max_encode_tokens: int = 2048
    max_queue: int = 64
    num_text_threads: int = 2
    # joint: query and document are read together. indexed: documents are read by themselves, and what was read is kept,
    # up to so many bytes, for the next query; what each is worth stands on the model's card.
    mode: Literal["joint", "indexed"] = "joint"
    states_bytes: int = 256 * 1024 * 1024
    # Documents of so many code points are kept as they were read, at about thirty bytes each, for the next query.
    kept_chars: int = 1_000_000
    # What TIER_AUTO means: whichever answers better by `qdts eval`, see the card of the model that ships.
    auto: Literal["generative", "extractive"] = "generative"

    def __post_init__(self) -> None:
        require_between("engine.num_threads", self.num_threads, 0, 1024)
        require_between("engine.max_batch", self.max_batch, 1, 4096)
        require_between("engine.max_encode_tokens", self.max_encode_tokens, 1, 1 << 24)
        require_between("engine.max_queue", self.max_queue, 1, 1_000_000)
        require_between("engine.num_text_threads", self.num_text_threads, 1, 1024)
        require_between("engine.kept_chars", self.kept_chars, 0, 1 << 40)
        require_between("engine.states_bytes", self.states_bytes, 0, 1 << 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """The operators' port: /metrics, /readyz, /livez. Where others than this machine ask, it needs another host."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 9464  # 0: any free one

    def __post_init__(self) -> None:
        require_between("metrics.port", self.port, 0, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingConfig:
    """JSON lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything a server needs to know."""

    server: ListenConfig = field(default_factory=ListenConfig)
    limits: Limits = field(default_factory=Limits)
    deadlines: DeadlineConfig = field(default_factory=DeadlineConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    redis: RedisConfig = field(default_factory=RedisConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    admission: AdmissionConfig = field(default_factory=AdmissionConfig)
    quotas: QuotaConfig = field(default_factory=QuotaConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    transport: TransportConfig = field(default_factory=TransportConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    lifecycle: LifecycleConfig = field(default_factory=LifecycleConfig)
    shadow: ShadowConfig = field(default_factory=ShadowConfig)
    canary: CanaryConfig = field(default_factory=CanaryConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)
    processes: ProcessesConfig = field(default_factory=ProcessesConfig)

    def __post_init__(self) -> None:
        if self.auth.certificate_tenants and not self.tls.client_ca_file:
            raise ConfigError("auth.certificate_tenants: needs tls.client_ca_file, or no client shows a certificate")
        if self.admin.is_on and not self.tls.cert_file and (self.admin.client_ca_file or not self.admin.is_loopback):
            raise ConfigError("admin: needs tls.cert_file for client certificates, and where others can reach it")
        if self.processes.fronts and self.canary.model:
            raise ConfigError(
                "canary.model: is for a server of one process, processes.fronts = 0; beside several, a canary is a "
                "deployment of its own with a share of the traffic"
            )


Value = str | int | float | bool


def load_config(
    path: Path | None, env: Mapping[str, str], overrides: Mapping[str, Value | None] | None = None
) -> ServerConfig:
    """The configuration, or ConfigError naming what is wrong.

    `overrides` are flags by setting name ("server.port"); None means not given. Without `path` the file named
    by the environment variable QDTS_CONFIG is read, if that is set.
    """
    file = path or (Path(env[ENV_CONFIG_FILE]) if env.get(ENV_CONFIG_FILE) else None)
    settings = _from_toml(file) if file else {}
    settings |= _from_env(env)
    settings |= {name: value for name, value in (overrides or {}).items() if value is not None}
    return _build(settings)


def setting_types() -> dict[str, object]:
    """The type of every setting by name, in the order of the tree."""
    sections = get_type_hints(ServerConfig)
    return {f"{s}.{key}": hint for s, kind in sections.items() for key, hint in get_type_hints(kind).items()}


def _from_toml(path: Path) -> dict[str, Value]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    settings: dict[str, Value] = {}
    for section, content in document.items():
        if not isinstance(content, dict):
            raise ConfigError(f"{path}: {section} stands outside of a [section]")
        for key, value in cast("dict[str, Value]", content).items():
            settings[f"{section}.{key}"] = value
    return settings


def _from_env(env: Mapping[str, str]) -> dict[str, Value]:
    """Only names with a double underscore are settings; see the module's docstring."""
    names = [name for name in env if name.startswith(ENV_PREFIX) and "__" in name]
    return {name.removeprefix(ENV_PREFIX).lower().replace("__", ".", 1): env[name] for name in names}


def _build(settings: Mapping[str, Value]) -> ServerConfig:
    known = setting_types()
    sections: dict[str, dict[str, object]] = {part.name: {} for part in fields(ServerConfig)}
    for name, value in settings.items():
        if name not in known:
            raise ConfigError(_unknown(name, list(known)))
        section, key = name.split(".")
        sections[section][key] = _convert(name, value, known[name])
    kinds = get_type_hints(ServerConfig)
    return ServerConfig(**{section: kinds[section](**values) for section, values in sections.items()})


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    by_key = [other for other in known if other.split(".")[1] == name.split(".")[-1]]
    near = list(dict.fromkeys(by_key + close))[:3] or known
    return f"unknown setting {name}; nearest known: {', '.join(near)}"


def _convert(name: str, value: object, hint: object) -> object:
    """`value` as the setting's type; text is parsed, since environment and flags have nothing else."""
    if get_origin(hint) is Literal:
        return _choice(name, value, get_args(hint))
    if hint is bool:
        return _boolean(name, value)
    if hint is str and isinstance(value, str):
        return value
    if isinstance(value, int | float | str) and not isinstance(value, bool) and hint is not str:
        return _number(name, value, cast("type[int] | type[float]", hint))
    shown = "(not shown)" if name.split(".")[-1] in _SECRETS else repr(value)
    raise ConfigError(f"{name} = {shown}: must be {getattr(hint, '__name__', hint)}")


def _choice(name: str, value: object, choices: tuple[object, ...]) -> object:
    if value not in choices:
        raise ConfigError(f"{name} = {value!r}: must be one of {', '.join(map(str, choices))}")
    return value


def _boolean(name: str, value: object) -> bool:
    words: dict[object, bool] = {"true": True, "1": True, "false": False, "0": False}
    answer = value if isinstance(value, bool) else words.get(value.lower() if isinstance(value, str) else None)
    if answer is None:
        raise ConfigError(f"{name} = {value!r}: must be true or false")
    return answer


def _number(name: str, value: float | str, kind: type[int] | type[float]) -> float:
    try:
        number = kind(value)
    except ValueError as error:
        raise ConfigError(f"{name} = {value!r}: must be {kind.__name__}") from error
    if kind is int and number != float(value):
        raise ConfigError(f"{name} = {value!r}: must be a whole number")
    return number
