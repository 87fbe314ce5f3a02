"""Names of keys in Redis: keyed hashes, no text. What belongs together has one hash tag, so one slot of a cluster."""

from base64 import urlsafe_b64encode


class Names:
    """Under a prefix, so that ACLs and counts can tell ours from others'."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    @property
    def scrap(self) -> str:
        """Of a key that nobody needs."""
        return f"{self._prefix}:scrap"

    def reply(self, key: bytes) -> str:
        """Of an entry."""
        return f"{self._base(key)}:r"

    def lease(self, key: bytes) -> str:
        """Of the lease on making that entry."""
        return f"{self._base(key)}:l"

    def states(self, key: bytes) -> str:
        """Of a document's states."""
        return f"{self._base(key)}:s"

    def _base(self, key: bytes) -> str:
        return f"{self._prefix}:{{{urlsafe_b64encode(key).decode().rstrip('=')}}}"
