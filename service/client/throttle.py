"""Refusing at the client what the server would refuse: an overloaded server must not also say no to everybody.

Adaptive throttling as in Google's SRE book, chapter 21: of the requests of the last minutes so many may be on top of
`ratio` times those that were accepted; of more, a share is refused here that grows with what is refused there. Pure
logic: knows nothing of gRPC.
"""

import math
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qdts.errors import Overloaded
from qdts.service.client.retry import Failure

# How long what happened counts, about: it fades, instead of being forgotten at once.
MEMORY_S = 60.0


@dataclass(slots=True)
class Sent:
    """How a request that was sent has ended; None: not in a failure of the server."""

    failure: Failure | None = None


class Throttle:
    """Of one server. `ratio` None: refuses nothing. Safe to share between threads."""

    def __init__(
        self, ratio: float | None, *, clock: Callable[[], float], chance: Callable[[], float] = random.random
    ) -> None:
        self._ratio = ratio
        self._clock, self._chance = clock, chance
        self._num_requests = self._num_accepted = 0.0
        self._faded_at = clock()
        self._lock = threading.Lock()

    @contextmanager
    def sending(self) -> Iterator[Sent]:
        """Around a request; Overloaded if it is not to be sent."""
        self.enter()
        sent = Sent()
        try:
            yield sent
        finally:
            self.leave(sent.failure)

    def enter(self) -> None:
        """Before each request; Overloaded if it is not to be sent."""
        if self._ratio is None:
            return
        with self._lock:
            self._fade()
            excess = self._num_requests - self._ratio * self._num_accepted
            share = max(0.0, excess / (self._num_requests + 1))
            self._num_requests += 1
        if self._chance() < share:
            raise Overloaded("not sent: the server refuses too much of what it is asked")

    def leave(self, failure: Failure | None) -> None:
        """After each request that was sent. Only that the server is full, or not there, counts as a refusal."""
        if self._ratio is None or (failure is not None and (failure.is_transient or failure.pushback is not None)):
            return
        with self._lock:
            self._fade()
            self._num_accepted += 1

    def _fade(self) -> None:
        now = self._clock()
        kept = math.exp((self._faded_at - now) / MEMORY_S)
        self._num_requests, self._num_accepted = kept * self._num_requests, kept * self._num_accepted
        self._faded_at = now
