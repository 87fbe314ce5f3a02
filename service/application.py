"""All parts of one server, built and wired: the only place that names concrete classes."""

import asyncio
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from qdts.errors import ConfigError
from qdts.service import logs
from qdts.service.admin import AdminEndpoint
from qdts.service.answering import Answerer
from qdts.service.auth import Tokens
from qdts.service.cache import CacheKeys, LruCache
from qdts.service.cache_levels import ReplyCache
from qdts.service.config import ServerConfig
from qdts.service.engine import Engine
from qdts.service.extraction import TextThreads
from qdts.service.generative import Summarizer
from qdts.service.health import Health, State
from qdts.service.heartbeat import Liveness
from qdts.service.hosting import ModelHost, OnDeath, Stage
from qdts.service.interceptors import CallInterceptor
from qdts.service.ladder import Generator, Ladder, build_admission
from qdts.service.loading import Load, load_model
from qdts.service.metrics import Metrics
from qdts.service.processes.connect import Connect, connect
from qdts.service.quotas import Quotas
from qdts.service.reply import Reply
from qdts.service.request import Request, Tier
from qdts.service.server import GrpcServer
from qdts.service.servicer import SummarizationServicer
from qdts.service.serving import Serving
from qdts.service.shadow import Shadow
from qdts.service.sharing import lifetimes_of, open_redis, share_states, variant_of
from qdts.service.tracing import TracedCache, make_tracer
from qdts.service.warm_up import warm_up
from qdts.service.watched import WatchedSummarizer

if TYPE_CHECKING:
    from qdts.service.redis.level import RedisLevel

# Threads that read text keep the interpreter for so long at a time, and the event loop waiting: Python's
# default of 5 ms would add up to many times that per call when they are busy.
SWITCH_INTERVAL_S = 0.0005


class Application:
    """All parts of one server, from start() to stop()."""

    def __init__(self, config: ServerConfig, load: Load = load_model, join: Connect = connect) -> None:
        self._config = config
        self._load, self._join = load, join
        self.metrics = Metrics()
        self.health = Health(self.metrics)
        self._tracer = make_tracer(config.tracing)
        self._servicer = SummarizationServicer(config, self.health)
        self._server = GrpcServer(
            config,
            servicer=self._servicer,
            health_of_server=self.health,
            interceptor=CallInterceptor(
                self.metrics,
                tokens=Tokens(config.auth),
                tracer=self._tracer,
                write_timeout_s=config.transport.write_timeout_s,
            ),
        )
        self._threads = TextThreads(config.engine.num_text_threads)
        self._quotas = Quotas(config.quotas)
        self._redis: RedisLevel | None = None
        self._cache: ReplyCache | None = None
        self._keys = CacheKeys()
        self.liveness = Liveness(config.lifecycle)
        stage = Stage(build=self._build, warm_up=self._warm_up_serving, show=self._show, tell=self._tell)
        self._host = ModelHost(stage, config.lifecycle, self.metrics, self.liveness.engine_away)
        self._endpoint: AdminEndpoint | None = None
        self._shadow: Shadow | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that calls come in on."""
        return self._server.port

    @property
    def admin_port(self) -> int | None:
        """The operators' port, once there is one."""
        return self._endpoint.port if self._endpoint else None

    async def start(self) -> None:
        """Listen, load, warm up, be ready. Until then health says "not serving" and calls get LOADING."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._beating = asyncio.ensure_future(self.liveness.beat())
        if self._config.metrics.enabled:
            self._endpoint = self._open_endpoint()
        await self.health.become(State.LOADING)
        if not self._config.processes.fronts:
            await self._server.start()
        if self._config.redis.url:
            self._redis = await open_redis(self._config, self.metrics)
        self._cache = self._build_cache()
        self._keys = CacheKeys(self._redis and self._redis.secret, variant=variant_of(self._config.engine))
        if self._config.shadow.model:
            await self._open_shadow()
        serving = await self._host.start()
        await self.health.become(State.READY)
        if self._config.processes.fronts:  # others answer meanwhile
            await self._server.start()
        logs.info("ready", port=self.port, admin_port=self.admin_port, model=serving.version)

    def swap_model(self) -> None:
        """Load what engine.model names now beside what answers, and let it take over once it is warm."""
        self._host.swap()

    async def run_until(self, stop: asyncio.Event) -> int:
        """Return at `stop`, with 0, or when the server has ended by itself, with 1: then only a new process helps."""
        stopping = asyncio.ensure_future(stop.wait())
        ending = asyncio.ensure_future(self._server.wait_for_end())
        await asyncio.wait({stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ending.done():
            ending.cancel()
            return 0
        if error := ending.exception():
            logs.fault("server_died", error)
        return 1

    async def stop(self) -> None:
        """Drain, then end what was started."""
        logs.info("draining", state=self.health.state.value)
        await self._server.drain()
        await self._host.close()
        if self._shadow is not None:
            await self._shadow.close()
        self._threads.close()
        if self._redis is not None:
            await self._redis.close()
        if self._endpoint is not None:
            await asyncio.to_thread(self._endpoint.close)
        if self._beating is not None:
            self._beating.cancel()
        await asyncio.to_thread(self._tracer.close)
        logs.info("stopped")

    async def _build(self, on_death: OnDeath) -> Serving:
        generator = await (self._join_engines if self._config.processes.fronts else self._load_engine)(on_death)
        engine = generator and generator.engine
        return Serving(self._build_answerer(generator), engine, tracer=self._tracer, on_reply=self._answered)

    async def _load_engine(self, on_death: OnDeath) -> Generator | None:
        summarizer = await asyncio.to_thread(self._load, self._config.engine)
        if summarizer is not None and self._redis is not None:
            share_states(summarizer, self._redis, self._config.engine)
        return None if summarizer is None else self._start_engine(summarizer, on_death)

    async def _join_engines(self, on_death: OnDeath) -> Generator | None:
        """Those of other processes: this one is a front."""
        return await self._join(self._config, on_death)

    def _answered(self, request: Request, reply: Reply) -> None:
        if self._shadow is not None:
            self._shadow.observe(request, reply)

    async def _open_shadow(self) -> None:
        """Its model, on an engine that is counted nowhere else; what it cannot do stops the start."""
        config = replace(self._config.engine, model=self._config.shadow.model, max_batch=1, max_queue=1)
        summarizer = await asyncio.to_thread(self._load, config)
        if summarizer is None:
            raise ConfigError("shadow.model: there is no such model")
        engine = Engine(summarizer, max_batch=1, max_queue=1, max_encode_tokens=config.max_encode_tokens)
        engine.start(lambda: logs.warning("shadow_down"))
        generator = Generator(summarizer=summarizer, engine=engine)
        ladder = self._build_ladder(generator, Metrics())
        self._shadow = Shadow(ladder, engine, share=self._config.shadow.share, metrics=self.metrics)
        await warm_up(self._build_ladder(generator, Metrics()))

    async def _warm_up_serving(self, serving: Serving) -> None:
        # Metrics of its own, too: those of the server tell of the ladder that answers.
        await warm_up(self._build_ladder(serving.ladder.generator, Metrics()))

    def _show(self, serving: Serving) -> None:
        self._servicer.answerer = serving

    async def _tell(self, is_whole: bool) -> None:
        await self.health.become(State.READY if is_whole else State.ENGINE_DOWN)

    def _start_engine(self, summarizer: Summarizer, on_death: OnDeath) -> Generator:
        config = self._config.engine
        watched = WatchedSummarizer(summarizer, called=self.liveness.model_called, on_waste=self.metrics.count_waste)
        engine = Engine(
            watched,
            max_batch=config.max_batch,
            max_queue=config.max_queue,
            max_encode_tokens=config.max_encode_tokens,
            admission=self._config.admission,
        )
        self.metrics.watch_queue(lambda: engine.num_waiting)
        loop = asyncio.get_running_loop()
        engine.start(lambda: loop.call_soon_threadsafe(on_death) and None, self.metrics)
        return Generator(summarizer=watched, engine=engine)

    def _build_ladder(self, generator: Generator | None, metrics: Metrics) -> Ladder:
        auto = Tier.GENERATIVE if self._config.engine.auto == "generative" else Tier.FAST
        admission = build_admission(generator, self._config.admission, metrics)
        return Ladder(threads=self._threads, generator=generator, auto=auto, admission=admission)

    def _build_answerer(self, generator: Generator | None) -> Answerer:
        return Answerer(
            ladder=self._build_ladder(generator, self.metrics),
            cache=self._cache,
            keys=self._keys,
            metrics=self.metrics,
            quotas=self._quotas,
        )

    def _build_cache(self) -> ReplyCache | None:
        config = self._config.cache
        if not config.max_entries and self._redis is None:
            return None
        lifetimes = lifetimes_of(config)
        return TracedCache(
            self._tracer,
            near=LruCache(max_entries=config.max_entries, max_bytes=config.max_bytes, lifetimes=lifetimes),
            far=self._redis and self._redis.replies,
            lifetimes=lifetimes,
            metrics=self.metrics.cache,
        )

    def _open_endpoint(self) -> AdminEndpoint:
        host, port = self._config.metrics.host, self._config.metrics.port
        try:
            return AdminEndpoint(
                self.metrics, host=host, port=port, state=lambda: self.health.state, problem=self.liveness.problem
            )
        except OSError as error:
            raise ConfigError(f"metrics: cannot listen on {host}:{port}: {error.strerror}") from error
