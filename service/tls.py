"""TLS and mutual TLS from PEM files, which may be replaced while the server runs. Knows nothing of calls.

The files are looked at before each handshake. What does not fit together, a certificate whose key is still to be
written for one, is not taken up: the pair in use stays until the next handshake that finds a whole one.
"""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc

from qdts.errors import ConfigError
from qdts.service import logs

Certificates = grpc.ServerCertificateConfiguration


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Files in PEM form; none: plain text. With a CA for clients, each must show a certificate that it signed."""

    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""

    def __post_init__(self) -> None:
        if bool(self.cert_file) != bool(self.key_file):
            raise ConfigError("tls.cert_file and tls.key_file go together: one of them is missing")
        if self.client_ca_file and not self.cert_file:
            raise ConfigError("tls.client_ca_file: needs tls.cert_file and tls.key_file")

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are there to be read: certificate, key and, if there is one, the clients' CA."""
        return tuple(Path(name) for name in (self.cert_file, self.key_file, self.client_ca_file) if name)


def server_credentials(config: TlsConfig) -> grpc.ServerCredentials | None:
    """What a secure port is opened with, or None for plain text. ConfigError if the files are of no use."""
    if not config.files:
        return None
    files = CertificateFiles(config)
    # gRPC takes None for "unchanged", which its types do not say.
    changed = cast("Callable[[], Certificates]", files.changed)
    return grpc.dynamic_ssl_server_credentials(files.load(), changed, bool(config.client_ca_file))


class CertificateFiles:
    """The files and when they were last taken up. Safe between threads: handshakes come from any."""

    def __init__(self, config: TlsConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._seen: object = None

    def load(self) -> Certificates:
        """What the files hold, or ConfigError naming the file or the pair."""
        with self._lock:
            self._seen = self._signature()
            return self._read()

    def changed(self) -> Certificates | None:
        """What the files hold, if that is new and whole; else None."""
        with self._lock:
            try:
                signature = self._signature()
                if signature == self._seen:
                    return None
                certificates = self._read()
            except ConfigError as error:
                logs.warning("tls_reload_failed", reason=str(error))
                return None
            self._seen = signature
        logs.info("tls_reloaded")
        return certificates

    def _signature(self) -> object:
        return tuple(_stat(path) for path in self._config.files)

    def _read(self) -> Certificates:
        certificate, key, *client_ca = (_read(path) for path in self._config.files)
        self._check_pair()
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca[0] if client_ca else None)

    def _check_pair(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._config.cert_file, self._config.key_file)
        except (ssl.SSLError, OSError) as error:
            names = f"{self._config.cert_file} and {self._config.key_file}"
            raise ConfigError(f"tls: {names} are not a certificate and its key") from error


def _stat(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"tls: cannot read {path}: {error.strerror}") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"tls: cannot read {path}: {error.strerror}") from error
