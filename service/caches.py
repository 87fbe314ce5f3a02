"""What is kept of replies and documents, built from the settings: in this process, and in Redis if there is one."""

from typing import TYPE_CHECKING

from qdts.service.cache import CacheKeys, LruCache
from qdts.service.cache_levels import ReplyCache
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.config import ServerConfig
from qdts.service.generative import Summarizer
from qdts.service.sharing import lifetimes_of, open_redis, share_states, variant_of
from qdts.service.tracing import TracedCache, Tracer

if TYPE_CHECKING:
    from qdts.service.redis.level import RedisLevel


class Caches:
    """From open() to close(), in one event loop."""

    def __init__(self, config: ServerConfig, metrics: CacheMetrics, tracer: Tracer) -> None:
        self._config, self._metrics, self._tracer = config, metrics, tracer
        self.redis: RedisLevel | None = None
        self.near: LruCache | None = None
        self.replies: ReplyCache | None = None
        self.keys = CacheKeys()

    async def open(self) -> None:
        """Connect to Redis, if there is to be one; a server starts without it, too."""
        if self._config.redis.url:
            self.redis = await open_redis(self._config, self._metrics)
        self.keys = CacheKeys(self.redis and self.redis.secret, variant=variant_of(self._config.engine))
        self.replies = self._build()

    def share_states(self, summarizer: Summarizer) -> None:
        """Let the model look for document states in Redis, if it can and there is one."""
        if self.redis is not None:
            share_states(summarizer, self.redis, self._config.engine)

    async def close(self) -> None:
        """Finish what is on its way to Redis, and disconnect."""
        if self.redis is not None:
            await self.redis.close()

    def _build(self) -> ReplyCache | None:
        config = self._config.cache
        if not config.max_entries and self.redis is None:
            return None
        lifetimes = lifetimes_of(config)
        self.near = LruCache(max_entries=config.max_entries, max_bytes=config.max_bytes, lifetimes=lifetimes)
        return TracedCache(
            self._tracer,
            near=self.near,
            far=self.redis and self.redis.replies,
            lifetimes=lifetimes,
            metrics=self._metrics,
        )
