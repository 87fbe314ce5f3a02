"""Values that are what was written, where it was written: a version and a checksum under a key before each.

The checksum covers the value's name, too, so that a value moved elsewhere is none. BLAKE2b with a key: faster than
HMAC-SHA-256, and document states are large.
"""

import hashlib
import hmac

_MAC_BYTES = 16


class Seal:
    """Seals values of one kind. Raise `schema` when what the bytes mean changes: values of others are absent."""

    def __init__(self, secret: bytes, *, schema: bytes) -> None:
        self._key = hashlib.sha256(b"qdts seal" + secret).digest()
        self._schema = schema

    def close(self, name: str, body: bytes) -> bytes:
        """The value to be kept under `name`."""
        return self._schema + self._mac(name, body) + body

    def open(self, name: str, value: bytes) -> bytes | None:
        """The body of a value found under `name`; None if it is not one that was closed there."""
        start = len(self._schema) + _MAC_BYTES
        body = value[start:]
        expected = self._schema + self._mac(name, body)
        return body if hmac.compare_digest(expected, value[:start]) else None

    def _mac(self, name: str, body: bytes) -> bytes:
        mac = hashlib.blake2b(self._schema + name.encode() + b"\0", key=self._key, digest_size=_MAC_BYTES)
        mac.update(body)
        return mac.digest()
