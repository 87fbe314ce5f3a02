"""What an operators' port on this machine says. Blocks, for a bounded time."""

import http.client
from dataclasses import dataclass

HOST = "127.0.0.1"
TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer."""

    status: int
    text: str


def ask(port: int, path: str, timeout_s: float = TIMEOUT_S) -> Said | None:
    """The answer to a GET, or None where there is none in time."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Said(status=response.status, text=response.read().decode("utf-8", "replace").strip())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
