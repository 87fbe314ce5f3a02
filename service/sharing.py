"""What processes share through Redis, built from the settings."""

from typing import TYPE_CHECKING

from qdts import __version__
from qdts.service.cache import Lifetimes
from qdts.service.cache_metrics import CacheMetrics
from qdts.service.config import CacheConfig, EngineConfig, ServerConfig
from qdts.service.generative import SharesStates, Summarizer

if TYPE_CHECKING:
    from qdts.service.redis.level import RedisLevel


def lifetimes_of(config: CacheConfig) -> Lifetimes:
    """How long replies are kept."""
    return Lifetimes(
        ttl_s=config.ttl_s,
        stale_s=config.stale_s,
        revalidate_s=config.revalidate_s,
        negative_s=config.negative_s,
        jitter=config.ttl_jitter,
    )


async def open_redis(config: ServerConfig, metrics: CacheMetrics) -> "RedisLevel":
    """What is in Redis; to be closed."""
    # Imported here: a server without Redis needs no client of it.
    from qdts.service.redis.level import RedisLevel

    level = RedisLevel(config.redis, lifetimes_of(config.cache), metrics)
    await level.open()
    return level


def share_states(summarizer: Summarizer, redis: "RedisLevel", config: EngineConfig) -> None:
    """Let a summariser that can look there for document states, if the settings say so."""
    store = redis.states(f"{summarizer.version} {variant_of(config)}")
    if store is not None and isinstance(summarizer, SharesStates):
        summarizer.share_states(store)


def variant_of(config: EngineConfig) -> str:
    """What changes answers though the model's version does not."""
    return f"{__version__} {config.runtime} {config.precision} {config.mode}"
