"""Packed document states <-> bytes. Knows nothing of Redis. Shapes: S tokens · C hidden."""

import struct

import numpy as np

from qdts.models.document_states import PackedStates
from qdts.service.redis.seal import Seal

SCHEMA = b"qs1"
_SHAPE = struct.Struct("<II")  # S, C; then S * C int8, then S little-endian float32


class StatesCodec:
    """Writes and reads states. Not deflated: int8 states of a trained net hardly get shorter."""

    def __init__(self, secret: bytes, *, max_bytes: int) -> None:
        self._seal = Seal(secret, schema=SCHEMA)
        self._max_bytes = max_bytes

    def encode(self, name: str, states: PackedStates) -> bytes:
        """The value for `name`."""
        scales = states.scales.astype("<f4").tobytes()
        return self._seal.close(name, _SHAPE.pack(*states.values.shape) + states.values.tobytes() + scales)

    def decode(self, name: str, value: bytes) -> PackedStates | None:
        """The states; None if the value is not one of ours, whole and under its own name."""
        body = self._seal.open(name, value) if len(value) <= self._max_bytes else None
        if body is None:
            return None
        num_tokens, num_channels = _SHAPE.unpack_from(body)
        values = np.frombuffer(body, np.int8, num_tokens * num_channels, _SHAPE.size)
        scales = np.frombuffer(body, "<f4", num_tokens, _SHAPE.size + values.nbytes)
        return PackedStates(values.reshape(num_tokens, num_channels), scales.reshape(num_tokens, 1).astype(np.float32))
