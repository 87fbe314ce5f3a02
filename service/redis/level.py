"""Everything that is in Redis, built from the settings: replies, states, the client they share."""

from qdts.models.document_states import StatesStore
from qdts.service import logs
from qdts.service.cache import CacheKeys, Lifetimes
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.redis.breaker import BreakerState
from qdts.service.redis.client import Bounds, RedisClient, Side
from qdts.service.redis.commands import connect
from qdts.service.redis.config import RedisConfig
from qdts.service.redis.names import Names
from qdts.service.redis.replies import RedisReplies
from qdts.service.redis.reply_codec import ReplyCodec
from qdts.service.redis.states import RedisStates, StatesKeys
from qdts.service.redis.states_codec import StatesCodec


class RedisLevel:
    """From open() to close(), in one event loop."""

    def __init__(self, config: RedisConfig, lifetimes: Lifetimes, metrics: CacheMetrics) -> None:
        self._config = config
        self._metrics = metrics
        self._secret = config.read_secret()
        self._names = Names(config.prefix)
        bounds = Bounds(
            budget_s=config.budget_ms / 1000,
            max_at_once=config.max_connections,
            max_failures=config.breaker_failures,
            open_s=config.breaker_open_s,
        )
        self.client = RedisClient(connect(config), bounds, metrics, scrap=self._names.scrap)
        codec = ReplyCodec(self._secret, max_bytes=config.max_value_bytes)
        self.replies = RedisReplies(self.client, codec, lifetimes, metrics, names=self._names, lease_ms=config.lease_ms)

    @property
    def secret(self) -> bytes:
        """What the keys of all processes are made with."""
        return self._secret

    @property
    def breakers(self) -> tuple[BreakerState, BreakerState]:
        """The states of those for reading and for writing."""
        return self.client.state(Side.READ), self.client.state(Side.WRITE)

    async def open(self) -> None:
        """Try to connect; a server starts without Redis, too."""
        is_there = await self.client.open(self._config.connect_ms / 1000)
        (logs.info if is_there else logs.warning)("redis", is_there=is_there)

    def states(self, model: str) -> StatesStore | None:
        """The store for states of that model; None if they are not to be shared."""
        if not self._config.states:
            return None
        return RedisStates(
            self.client,
            StatesCodec(self._secret, max_bytes=self._config.max_states_bytes),
            self._metrics,
            keys=StatesKeys(CacheKeys(self._secret), self._names, model=model),
            max_bytes=self._config.max_states_bytes,
            ttl_s=self._config.states_ttl_s,
        )

    async def close(self) -> None:
        """Finish what is on its way, then disconnect."""
        await self.replies.close()
        await self.client.close()
