"""Composition root: the only place that names concrete classes, builds everything, wires it and runs it."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from qdts import __version__
from qdts.errors import ConfigError, Draining, Unsupported, WeightsError
from qdts.models.document import Document
from qdts.models.shipped import find_model
from qdts.service import logs
from qdts.service.answering import Answerer
from qdts.service.cache import CacheKeys, Lifetimes, LruCache
from qdts.service.cache_levels import ReplyCache
from qdts.service.config import CacheConfig, EngineConfig, ServerConfig
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.extraction import TextThreads
from qdts.service.generative import SharesStates, Summarizer
from qdts.service.health import Health, State
from qdts.service.interceptors import CallInterceptor
from qdts.service.ladder import Generator, Ladder, build_admission
from qdts.service.metrics import Metrics, MetricsEndpoint
from qdts.service.quotas import Quotas
from qdts.service.request import Request, Tier
from qdts.service.server import GrpcServer
from qdts.service.servicer import SummarizationServicer

if TYPE_CHECKING:
    from qdts.service.redis.level import RedisLevel

WARM_UP_S = 60.0
ENGINE_STOP_S = 5.0
# Threads that read text keep the interpreter for so long at a time, and the event loop waiting: Python's
# default of 5 ms would add up to many times that per call when they are busy.
SWITCH_INTERVAL_S = 0.0005

Load = Callable[[EngineConfig], Summarizer | None]


def run(config: ServerConfig) -> int:
    """Serve until SIGTERM or SIGINT. The exit status: 0 after a drain, 2 when the server could not start."""
    logs.configure(config.logging.level)
    try:
        asyncio.run(_serve(config))
    except (ConfigError, WeightsError, Unsupported) as error:
        logs.warning("start_failed", reason=str(error))
        print(f"qdts: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(config: ServerConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.loop_fault)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    application = Application(config)
    try:
        await start_until(application, stop)
        await stop.wait()
    finally:
        await application.stop()


async def start_until(application: "Application", stop: asyncio.Event) -> None:
    """Start, but no further than to `stop`: a warm-up may take long, and nobody waits for it any more."""
    starting = asyncio.ensure_future(application.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting


def load_model(config: EngineConfig) -> Summarizer | None:
    """The model that the configuration names, or the one that ships with qdts, or None."""
    path = find_model(config.model)
    if path is None:
        return None
    # Imported here: a server without a model needs no runtime.
    from qdts.models.summarizer import Summarizer as GenerativeSummarizer
    from qdts.models.summarizer import SummarizerConfig

    settings = SummarizerConfig(
        runtime=config.runtime,
        precision=config.precision,
        num_threads=config.num_threads or None,
        max_batch=config.max_batch,
        mode=config.mode,
        states_bytes=config.states_bytes,
    )
    return GenerativeSummarizer.load(path, settings)


class Application:
    """All parts of one server, from start() to stop()."""

    def __init__(self, config: ServerConfig, load: Load = load_model) -> None:
        self._config = config
        self._load = load
        self.metrics = Metrics()
        self.health = Health(self.metrics)
        self._servicer = SummarizationServicer(config, self.health)
        self._server = GrpcServer(
            config,
            servicer=self._servicer,
            health_of_server=self.health,
            interceptor=CallInterceptor(self.metrics),
        )
        self._threads = TextThreads(config.engine.num_text_threads)
        self._endpoint: MetricsEndpoint | None = None
        self._generator: Generator | None = None
        self._answerer: Answerer | None = None
        self._redis: RedisLevel | None = None
        self._deaths: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that calls come in on."""
        return self._server.port

    async def start(self) -> None:
        """Listen, load, warm up, be ready. Until then health says "not serving" and calls get LOADING."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        if self._config.metrics.enabled:
            self._endpoint = _metrics_endpoint(self.metrics, self._config)
        await self.health.become(State.LOADING)
        await self._server.start()
        if self._config.redis.url:
            self._redis = await _open_redis(self._config, self.metrics)
        summarizer = await asyncio.to_thread(self._load, self._config.engine)
        if summarizer is not None and self._redis is not None:
            _share_states(summarizer, self._redis, self._config.engine)
        if summarizer is not None:
            self._generator = self._start_engine(summarizer)
        await self._warm_up()
        self._servicer.answerer = self._answerer = self._build_answerer()
        await self.health.become(State.READY)
        logs.info("ready", port=self.port, model=summarizer.version if summarizer else None)

    async def stop(self) -> None:
        """Drain, then end what was started."""
        logs.info("draining", state=self.health.state.value)
        await self._server.drain()
        if self._answerer is not None:
            self._answerer.close()
        if self._generator is not None:
            error = Draining("the server is about to exit")
            await asyncio.to_thread(self._generator.engine.stop, error, timeout_s=ENGINE_STOP_S)
        self._threads.close()
        if self._redis is not None:
            await self._redis.close()
        if self._endpoint is not None:
            await asyncio.to_thread(self._endpoint.close)
        logs.info("stopped")

    def _start_engine(self, summarizer: Summarizer) -> Generator:
        config = self._config.engine
        engine = Engine(
            summarizer,
            max_batch=config.max_batch,
            max_queue=config.max_queue,
            max_encode_tokens=config.max_encode_tokens,
            admission=self._config.admission,
        )
        self.metrics.watch_queue(lambda: engine.num_waiting)
        loop = asyncio.get_running_loop()
        engine.start(lambda: loop.call_soon_threadsafe(self._on_engine_death) and None, self.metrics)
        return Generator(summarizer=summarizer, engine=engine)

    def _on_engine_death(self) -> None:
        logs.warning("engine_down")
        task = asyncio.ensure_future(self.health.become(State.ENGINE_DOWN))
        self._deaths.add(task)  # the loop holds tasks only weakly
        task.add_done_callback(self._deaths.discard)

    def _build_ladder(self) -> Ladder:
        auto = Tier.GENERATIVE if self._config.engine.auto == "generative" else Tier.FAST
        admission = build_admission(self._generator, self._config.admission, self.metrics)
        return Ladder(threads=self._threads, generator=self._generator, auto=auto, admission=admission)

    def _build_answerer(self) -> Answerer:
        return Answerer(
            ladder=self._build_ladder(),
            cache=self._build_cache(),
            keys=CacheKeys(self._redis and self._redis.secret, variant=_variant(self._config.engine)),
            metrics=self.metrics,
            quotas=Quotas(self._config.quotas),
        )

    def _build_cache(self) -> ReplyCache | None:
        config = self._config.cache
        if not config.max_entries and self._redis is None:
            return None
        lifetimes = _lifetimes(config)
        return ReplyCache(
            near=LruCache(max_entries=config.max_entries, max_bytes=config.max_bytes, lifetimes=lifetimes),
            far=self._redis and self._redis.replies,
            lifetimes=lifetimes,
            metrics=self.metrics.cache,
        )

    async def _warm_up(self) -> None:
        """Real requests, on a ladder of their own: what the first ones take is not what later ones will."""
        ladder = self._build_ladder()
        for tier in (Tier.GENERATIVE, Tier.FAST):
            reply = await ladder.climb(_warm_up_request(tier), Deadline.after(WARM_UP_S))
            if reply.reasons:
                reasons = ", ".join(reason.name.lower() for reason in reply.reasons)
                raise WeightsError(f"the model failed its warm-up request ({reasons}); the log says where")


def _lifetimes(config: CacheConfig) -> Lifetimes:
    return Lifetimes(
        ttl_s=config.ttl_s,
        stale_s=config.stale_s,
        revalidate_s=config.revalidate_s,
        negative_s=config.negative_s,
        jitter=config.ttl_jitter,
    )


async def _open_redis(config: ServerConfig, metrics: Metrics) -> "RedisLevel":
    # Imported here: a server without Redis needs no client of it.
    from qdts.service.redis.level import RedisLevel

    level = RedisLevel(config.redis, _lifetimes(config.cache), metrics.cache)
    await level.open()
    return level


def _share_states(summarizer: Summarizer, redis: "RedisLevel", config: EngineConfig) -> None:
    store = redis.states(f"{summarizer.version} {_variant(config)}")
    if store is not None and isinstance(summarizer, SharesStates):
        summarizer.share_states(store)


def _variant(config: EngineConfig) -> str:
    """What changes answers though the model's version does not."""
    return f"{__version__} {config.runtime} {config.precision} {config.mode}"


def _metrics_endpoint(metrics: Metrics, config: ServerConfig) -> MetricsEndpoint:
    host, port = config.metrics.host, config.metrics.port
    try:
        return MetricsEndpoint(metrics, host=host, port=port)
    except OSError as error:
        raise ConfigError(f"metrics: cannot listen on {host}:{port}: {error.strerror}") from error


def _warm_up_request(tier: Tier) -> Request:
    text = (
        "The lighthouse was built in 1874 on the northern cape. Its lamp could be seen for thirty miles. "
        "Keepers lived there until 1981, when the light became automatic."
    )
    return Request(
        query="When was the lighthouse built?",
        document=Document(text=text, title="Lighthouse", language="en"),
        document_sha256="",
        max_words=35,
        tier=tier,
    )
