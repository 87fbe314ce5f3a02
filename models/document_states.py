"""Encoder output kept per document: what was read once need not be read again, which is what `indexed` mode is for.

Kept as int8 with a scale per token, a quarter of float32 (what that loses: docs/lab-log.md). Keys are digests of the
encoder's input ids: the same ids, the same states. Behind it there may be a store that other processes read and write,
too. Shapes: S document tokens · C hidden.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from qdts.models.runtimes.base import Ids, Runtime, States

_LARGEST = np.float32(127)


@dataclass(frozen=True, slots=True)
class PackedStates:
    """values (S, C) times scales (S, 1)."""

    values: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]

    @classmethod
    def pack(cls, states: States) -> Self:
        """Round to the nearest of 255 steps between the token's largest channel and its negative."""
        largest = np.abs(states.hidden).max(axis=1, keepdims=True)
        scales = np.where(largest > 0, largest, 1).astype(np.float32) / _LARGEST
        return cls(np.rint(states.hidden / scales).astype(np.int8), scales)

    def unpack(self) -> States:
        """As float32."""
        return States(hidden=self.values.astype(np.float32) * self.scales)

    @property
    def num_bytes(self) -> int:
        """What it holds."""
        return self.values.nbytes + self.scales.nbytes


class StatesStore(Protocol):
    """States that processes share. Never fails, and never takes long: one that does not answer holds nothing."""

    def load(self, key: bytes, *, within_s: float) -> PackedStates | None:
        """What is under `key`. Waits, within that and a bound of its own."""
        ...

    def save(self, key: bytes, states: PackedStates) -> None:
        """Keep `states`, later; does not wait."""
        ...


class DocumentStates:
    """The states of the documents read last, at most `max_bytes` of them. One thread reads; any may fetch."""

    def __init__(self, max_bytes: int, store: StatesStore | None = None) -> None:
        if max_bytes < 0:
            raise ValueError(f"max_bytes must be at least 0, is {max_bytes}")
        self._max_bytes = max_bytes
        self._store = store
        self._kept: OrderedDict[bytes, PackedStates] = OrderedDict()
        self._changing = threading.Lock()
        self.num_bytes = 0
        self.num_hits = 0
        self.num_misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def knows(self, document: Ids) -> bool:
        """Whether the states of a document (S,) are kept."""
        return _key(document) in self._kept

    def fetch(self, document: Ids, *, within_s: float) -> None:
        """Bring the states of a document (S,) here if another process has read it: beside the thread that reads.

        Waits for them, but no longer than that.
        """
        if self._store is None or self.knows(document):
            return
        key = _key(document)
        states = self._store.load(key, within_s=within_s)
        if states is not None and len(states.values) == len(document):
            with self._changing:
                self._keep(key, states)

    def read(self, runtime: Runtime, documents: Sequence[Ids]) -> list[States]:
        """The states of each document (S_i,): kept ones, and the others encoded now, and kept.

        What was encoded now is answered as it will be kept, so that a document's second summary is its first.
        """
        keys = [_key(document) for document in documents]
        with self._changing:  # fetching may drop what is known now
            known = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: document for key, document in zip(keys, documents, strict=True) if key not in known}
        self.num_misses += len(missing)
        self.num_hits += len(keys) - len(missing)
        encoded = runtime.encode(list(missing.values())) if missing else []
        fresh = {key: PackedStates.pack(states) for key, states in zip(missing, encoded, strict=True)}
        with self._changing:
            for key in keys:
                self._keep(key, fresh.get(key) or known[key])
        if self._store is not None:
            for key, states in fresh.items():
                self._store.save(key, states)
        return [(fresh.get(key) or known[key]).unpack() for key in keys]

    def _keep(self, key: bytes, states: PackedStates) -> None:
        """Put in front, and drop from the other end what is too much."""
        if key not in self._kept:
            self._kept[key] = states
            self.num_bytes += states.num_bytes
        self._kept.move_to_end(key)
        while self.num_bytes > self._max_bytes:
            self.num_bytes -= self._kept.popitem(last=False)[1].num_bytes


def _key(document: Ids) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(document, np.int64).tobytes(), digest_size=16).digest()
