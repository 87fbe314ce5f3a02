"""The operators' RPCs: where they are, and who may call them. Off until a port is named."""

import ipaddress
from dataclasses import dataclass

from qdts.errors import ConfigError
from qdts.service.limits import require_between

OFF = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """With TLS where the public port has it, by the same certificate. Tokens are as auth.token_file's."""

    host: str = "127.0.0.1"
    port: int = OFF  # 0: any free one
    token_file: str = ""
    # Who shows a certificate of this CA may call; with a token file both are needed. Needs tls.cert_file.
    client_ca_file: str = ""
    # Below it lie the models that SwapModel may name; "": only what engine.model names.
    models_dir: str = ""

    def __post_init__(self) -> None:
        require_between("admin.port", self.port, OFF, 65535)
        if self.is_on and not (self.token_file or self.client_ca_file):
            raise ConfigError("admin.port: needs admin.token_file or admin.client_ca_file, who may call it is not open")

    @property
    def is_on(self) -> bool:
        """Whether there are any."""
        return self.port != OFF

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False
