"""How many calls may run, of one peer and of all: one that floods must leave room for others. Knows nothing of calls.

A peer is a connection, or an address with all its connections. Whoever stands behind a proxy that pools connections is
one peer with everybody else there: the bound must be off then, or the proxy's to keep.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from qdts.errors import Overloaded, TooManyCalls
from qdts.service.retry_after import RetryAfter

PeerKind = Literal["connection", "address"]

# Told to come back in about so long.
RETRY_AFTER_S = 0.1


class Peers:
    """The calls of each. Event loop only."""

    def __init__(self, *, max_calls: int, kind: PeerKind, max_in_all: int) -> None:
        """`max_calls` of each, 0: no bound."""
        self._max_calls, self._kind = max_calls, kind
        self._max_in_all, self._num_in_all = max_in_all, 0
        self._num_calls: Counter[str] = Counter()
        self._retry_after = RetryAfter()

    @contextmanager
    def calling(self, peer: str) -> Iterator[None]:
        """Within the block one call more of the peer runs.

        TooManyCalls if it has as many as it may, Overloaded if all together have. `peer` is as gRPC writes it,
        "ipv4:192.0.2.1:54321" or "unix:".
        """
        key = peer if self._kind == "connection" else peer.rpartition(":")[0] or peer
        if self._max_calls and self._num_calls[key] >= self._max_calls:
            after_s = self._retry_after.about(RETRY_AFTER_S)
            raise TooManyCalls(f"this peer has {self._max_calls} calls running", retry_after_s=after_s)
        if self._num_in_all >= self._max_in_all:
            after_s = self._retry_after.about(RETRY_AFTER_S)
            raise Overloaded(f"{self._max_in_all} calls are running", retry_after_s=after_s)
        self._num_calls[key] += 1
        self._num_in_all += 1
        try:
            yield
        finally:
            self._num_in_all -= 1
            self._num_calls[key] -= 1
            if not self._num_calls[key]:
                del self._num_calls[key]  # connections come and go
