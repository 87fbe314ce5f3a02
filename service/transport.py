"""Bounds of the transport: what one message, connection or peer may take. gRPC enforces them, this names them.

Long messages that were short when compressed are refused by gRPC at the same bound, while they are unpacked.
"""

from dataclasses import dataclass

from qdts.service.limits import require_between

Option = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportConfig:
    """In bytes and seconds. What gRPC leaves unbounded by default has a bound here."""

    max_metadata_bytes: int = 16 * 1024
    max_send_bytes: int = 16 * 1024 * 1024
    max_connections: int = 10_000
    # A reply that its caller does not read for so long is given up.
    write_timeout_s: float = 5.0
    # Who connects and is not through with TLS and HTTP/2's beginning by then is sent away.
    handshake_timeout_s: float = 10.0
    # Dead peers are noticed within the sum of the first two.
    keepalive_s: float = 60.0
    keepalive_timeout_s: float = 20.0
    # Peers that ping more often, and so many times, are sent away: "too_many_pings".
    min_ping_interval_s: float = 10.0
    max_ping_strikes: int = 2
    # Connections are renewed, so that load spreads over new servers and old certificates die out.
    max_connection_age_s: float = 1800.0
    max_connection_grace_s: float = 60.0
    max_connection_idle_s: float = 600.0

    def __post_init__(self) -> None:
        require_between("transport.max_metadata_bytes", self.max_metadata_bytes, 1024, 1024 * 1024)
        require_between("transport.max_send_bytes", self.max_send_bytes, 64 * 1024, 256 * 1024 * 1024)
        require_between("transport.max_connections", self.max_connections, 1, 1_000_000)
        require_between("transport.write_timeout_s", self.write_timeout_s, 0.01, 600)
        require_between("transport.handshake_timeout_s", self.handshake_timeout_s, 0.1, 120)
        require_between("transport.keepalive_s", self.keepalive_s, 1, 86400)
        require_between("transport.keepalive_timeout_s", self.keepalive_timeout_s, 1, 600)
        require_between("transport.min_ping_interval_s", self.min_ping_interval_s, 0, 3600)
        require_between("transport.max_ping_strikes", self.max_ping_strikes, 1, 1000)
        require_between("transport.max_connection_age_s", self.max_connection_age_s, 1, 30 * 86400)
        require_between("transport.max_connection_grace_s", self.max_connection_grace_s, 0, 86400)
        require_between("transport.max_connection_idle_s", self.max_connection_idle_s, 1, 30 * 86400)


def transport_options(
    config: TransportConfig, *, max_message_bytes: int, max_streams: int, shares_port: bool = False
) -> list[Option]:
    """The same as gRPC's channel arguments; `max_streams` is per connection, `shares_port` with other processes."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", config.max_send_bytes),
        ("grpc.max_concurrent_streams", max_streams),
        ("grpc.max_allowed_incoming_connections", config.max_connections),
        ("grpc.server_handshake_timeout_ms", _ms(config.handshake_timeout_s)),
        # Between the two, gRPC would refuse at random.
        ("grpc.max_metadata_size", config.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", config.max_metadata_bytes),
        # On by default: a second server on the same port would silently share its calls.
        ("grpc.so_reuseport", int(shares_port)),
        ("grpc.keepalive_time_ms", _ms(config.keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(config.keepalive_timeout_s)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _ms(config.min_ping_interval_s)),
        ("grpc.http2.max_ping_strikes", config.max_ping_strikes),
        ("grpc.max_connection_age_ms", _ms(config.max_connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _ms(config.max_connection_grace_s)),
        ("grpc.max_connection_idle_ms", _ms(config.max_connection_idle_s)),
    ]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
