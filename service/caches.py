"""What is kept of replies and documents, built from the settings: in this process, and in Redis if there is one."""

from typing import TYPE_CHECKING

from qdts import __version__
from qdts.service.cache import CacheKeys, Lifetimes, LruCache
from qdts.service.cache_levels import ReplyCache
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.config import CacheConfig, EngineConfig, ServerConfig
from qdts.service.generative import SharesStates, Summarizer
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
            self.redis = await self._open_redis()
        self.keys = CacheKeys(self.redis and self.redis.secret, variant=_variant(self._config.engine))
        self.replies = self._build()

    def share_states(self, summarizer: Summarizer) -> None:
        """Let the model look for document states in Redis, if it can and there is one."""
        if self.redis is None or not isinstance(summarizer, SharesStates):
            return
        store = self.redis.states(f"{summarizer.version} {_variant(self._config.engine)}")
        if store is not None:
            summarizer.share_states(store)

    async def close(self) -> None:
        """Finish what is on its way to Redis, and disconnect."""
        if self.redis is not None:
            await self.redis.close()

    async def _open_redis(self) -> "RedisLevel":
        # Imported here: a server without Redis needs no client of it.
        from qdts.service.redis.level import RedisLevel

        level = RedisLevel(self._config.redis, _lifetimes(self._config.cache), self._metrics)
        await level.open()
        return level

    def _build(self) -> ReplyCache | None:
        config = self._config.cache
        if not config.max_entries and self.redis is None:
            return None
        lifetimes = _lifetimes(config)
        self.near = LruCache(max_entries=config.max_entries, max_bytes=config.max_bytes, lifetimes=lifetimes)
        return TracedCache(
            self._tracer,
            near=self.near,
            far=self.redis and self.redis.replies,
            lifetimes=lifetimes,
            metrics=self._metrics,
        )


def _lifetimes(config: CacheConfig) -> Lifetimes:
    return Lifetimes(
        ttl_s=config.ttl_s,
        stale_s=config.stale_s,
        revalidate_s=config.revalidate_s,
        negative_s=config.negative_s,
        jitter=config.ttl_jitter,
    )


def _variant(config: EngineConfig) -> str:
    """What changes answers though the model's version does not."""
    return f"{__version__} {config.runtime} {config.precision} {config.mode}"
