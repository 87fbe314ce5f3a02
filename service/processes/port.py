"""A port that is kept for the fronts, also while none of them listens."""

import socket

from qdts.errors import ConfigError


class ReservedPort:
    """Bound and not listened on: the kernel gives it no connection, and nobody but sharers of this user the port."""

    def __init__(self, host: str, port: int) -> None:
        """Take it; 0 is any free one. ConfigError where somebody has it, or where there is no such host."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._socket = socket.socket(family, kind, protocol)
            try:
                self._bind(address)
            except OSError:
                self._socket.close()
                raise
        except OSError as error:
            raise ConfigError(f"server: cannot listen on {host}:{port}: {error.strerror}") from error
        self.number = int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Let it go."""
        self._socket.close()

    def _bind(self, address: object) -> None:
        # Connections of an earlier server that are still dying must not keep it from us, a listener must.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(address)  # type: ignore[arg-type]
        # Shared from here on and not before: another supervisor would otherwise get in.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
