"""Document states in Redis: what one process has encoded the others need not. Between threads and an event loop.

The threads that prepare requests load, and wait for it within the budget; the model's thread saves, and does not wait.
"""

import asyncio
import contextlib

from qdts.models.document_states import PackedStates
from qdts.service.cache import CacheKeys
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.deadline import Deadline
from qdts.service.redis.client import RedisClient
from qdts.service.redis.names import Names
from qdts.service.redis.states_codec import StatesCodec

# Beside the budget, for the event loop to get to it.
LOOP_S = 0.005
# States on their way to Redis; further ones are dropped.
MAX_SAVING = 8


class RedisStates:
    """The states of one model version; a StatesStore. `loop` is the client's, and must not wait for load()."""

    def __init__(
        self,
        client: RedisClient,
        codec: StatesCodec,
        metrics: CacheMetrics,
        *,
        keys: "StatesKeys",
        max_bytes: int,
        ttl_s: float,
    ) -> None:
        self._client = client
        self._codec = codec
        self._metrics = metrics
        self._keys = keys
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._loop = asyncio.get_running_loop()
        self._saving: set[asyncio.Task[None]] = set()

    def load(self, key: bytes, *, within_s: float) -> PackedStates | None:
        """What is under `key`; waits within the budget, or that if it is less."""
        name = self._keys.name(key)
        value = self._get(name, min(within_s, self._client.budget_s + LOOP_S))
        states = None if value is None else self._codec.decode(name, value)
        if value is not None and states is None:
            self._metrics.observe_error("read", "corrupt")
        self._metrics.observe_states("miss" if states is None else "hit")
        return states

    def save(self, key: bytes, states: PackedStates) -> None:
        """Keep `states`, later."""
        if states.num_bytes > self._max_bytes:
            self._metrics.observe_error("write", "too_large")
            return
        with contextlib.suppress(RuntimeError):  # the loop has closed: so has the server
            self._loop.call_soon_threadsafe(self._begin, self._keys.name(key), states)

    def _get(self, name: str, within_s: float) -> bytes | None:
        asking = self._client.get(name, Deadline.after(within_s))
        try:
            future = asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError:  # as above
            asking.close()
            return None
        try:
            return future.result(within_s)
        except TimeoutError:
            future.cancel()
            return None

    def _begin(self, name: str, states: PackedStates) -> None:
        if len(self._saving) >= MAX_SAVING:
            self._metrics.observe_error("write", "busy")
            return
        task = asyncio.ensure_future(self._save(name, states))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def _save(self, name: str, states: PackedStates) -> None:
        value = await asyncio.to_thread(self._codec.encode, name, states)
        await self._client.set(name, value, ttl_s=self._ttl_s)


class StatesKeys:
    """Names of states in Redis: of one model, number format and release; no other finds them."""

    def __init__(self, keys: CacheKeys, names: Names, *, model: str) -> None:
        self._keys = keys
        self._names = names
        self._model = model.encode()

    def name(self, key: bytes) -> str:
        """Where the states with that digest of encoder ids are kept."""
        return self._names.states(self._keys.digest(b"states", self._model, key))
