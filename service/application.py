"""All parts of one server, built and wired: the only place that names concrete classes."""

import asyncio
import sys
from collections.abc import Coroutine
from dataclasses import replace

from qdts.errors import ConfigError, Conflict, Draining, QdtsError
from qdts.service import logs
from qdts.service.admin import AdminEndpoint
from qdts.service.admin_server import AdminServer
from qdts.service.admin_servicer import AdminServicer
from qdts.service.admin_status import Parts, write_status
from qdts.service.answering import Answerer
from qdts.service.building import Builder, OnDeath
from qdts.service.caches import Caches
from qdts.service.callers import Callers
from qdts.service.canary import CanaryState
from qdts.service.canary_hosting import CanaryHost
from qdts.service.config import ServerConfig
from qdts.service.health import Health, State
from qdts.service.heartbeat import Liveness
from qdts.service.hosting import ModelHost, Stage, Swap, SwapState
from qdts.service.interceptors import CallInterceptor
from qdts.service.ladder import Generator
from qdts.service.loading import Load, load_model
from qdts.service.metrics import Metrics
from qdts.service.processes.connect import Connect, connect
from qdts.service.processes.front_status import FrontStatus
from qdts.service.quotas import Quotas
from qdts.service.reply import Reply
from qdts.service.request import Request
from qdts.service.server import GrpcServer
from qdts.service.servicer import SummarizationServicer
from qdts.service.serving import Serving
from qdts.service.shadow_hosting import ShadowHost
from qdts.service.tracing import make_tracer
from qdts.v1 import admin_pb2

# Threads that read text keep the interpreter for so long at a time, and the event loop waiting: Python's
# default of 5 ms would add up to many times that per call when they are busy.
SWITCH_INTERVAL_S = 0.0005


class Application:
    """All parts of one server, from start() to stop()."""

    def __init__(self, config: ServerConfig, load: Load = load_model, join: Connect = connect) -> None:
        """A front asks `join` for its engines, any other server loads them."""
        self._config, self._join = config, join
        self.metrics = Metrics()
        self.health = Health(self.metrics, max_watchers=config.transport.max_connections)
        self.liveness = Liveness(config.lifecycle)
        self._tracer = make_tracer(config.tracing)
        self._servicer = SummarizationServicer(config, self.health)
        self._server = GrpcServer(
            config,
            servicer=self._servicer,
            health_of_server=self.health,
            interceptor=CallInterceptor(
                self.metrics,
                callers=Callers.of_service(config),
                tracer=self._tracer,
                write_timeout_s=config.transport.write_timeout_s,
            ),
        )
        self._quotas = Quotas(config.quotas)
        self._caches = Caches(config, self.metrics.cache, self._tracer)
        self._builder = Builder(config, load, self.metrics, self.liveness)
        self.metrics.admission.watch_limit(lambda: self._builder.learned.limit.limit)
        stage = Stage(build=self._build, warm_up=self._warm_up, show=self._show, tell=self._tell)
        self._host = ModelHost(stage, config.lifecycle, self.metrics, self.liveness.engine_away)
        self._canary = CanaryHost(config, self._builder, self._caches, self.metrics) if config.canary.model else None
        self._shadow = ShadowHost(config, self._builder, self.metrics) if config.shadow.model else None
        self._endpoint: AdminEndpoint | None = None
        self._parts = Parts(
            health=self.health,
            liveness=self.liveness,
            host=self._host,
            learned=self._builder.learned,
            caches=self._caches,
            canary=self._canary.canary if self._canary is not None else None,
        )
        self._admin: AdminServer | None = None
        if config.admin.is_on:
            servicer = AdminServicer(self, models_dir=config.admin.models_dir)
            self._admin = AdminServer(config, servicer, self.metrics)
        self._drain_asked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that calls come in on."""
        return self._server.port

    @property
    def admin_port(self) -> int | None:
        """The port of metrics and probes, once there is one."""
        return self._endpoint.port if self._endpoint is not None else None

    @property
    def operators_port(self) -> int | None:
        """The port of the operators' RPCs, if there are any."""
        return self._admin.port if self._admin is not None else None

    async def start(self) -> None:
        """Listen, load, warm up, be ready. Until then health says "not serving" and calls get LOADING."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._spawn(self.liveness.beat())
        if self._config.metrics.enabled:
            self._endpoint = self._open_endpoint()
        await self.health.become(State.LOADING)
        if not self._config.processes.fronts:
            await self._server.start()
        if self._admin is not None:
            await self._admin.start()
        await self._caches.open()
        if self._shadow is not None:
            await self._shadow.open()
        serving = await self._host.start()
        await self.health.become(State.READY)
        if self._config.processes.fronts:  # others answer meanwhile
            await self._server.start()
        ports = {"admin_port": self.admin_port, "operators_port": self.operators_port}
        logs.info("ready", port=self.port, **ports, model=serving.version)
        if self._canary is not None:
            self._canary.start()

    def swap_model(self) -> None:
        """At SIGHUP: load what engine.model names now and let it take over, or promote the canary where that is set.

        Where there can be no swap, it is logged.
        """
        if refusal := self._no_swap():
            logs.info("swap_ignored", reason=str(refusal))
        elif self._config.canary.promote_on_hangup and self._canary_runs():
            self.promote_canary()
        else:
            self._host.swap()

    async def status(self) -> admin_pb2.GetStatusResponse:
        """How the server is."""
        return write_status(self._parts)

    def swap(self, model: str | None) -> Swap:
        """Load `model`, or what engine.model names now, and let it take over. Conflict while another is on its way."""
        if refusal := self._no_swap():
            raise refusal
        if self._host.last_swap is not None and self._host.last_swap.state is SwapState.RUNNING:
            raise Conflict("another swap is under way")
        return self._host.swap(model)

    def promote_canary(self) -> Swap:
        """Put the canary's model in the other's place, and end the canary. Conflict where none answers."""
        if self._canary is None or not self._canary_runs():
            raise Conflict("no canary answers")
        swap = self.swap(self._config.canary.model)
        self._spawn(self._canary.promoted(swap))
        return swap

    def stop_canary(self) -> None:
        """End the canary. Conflict where there is none any more."""
        if self._canary is None or self._canary.canary.is_over:
            raise Conflict("there is no canary")
        self._canary.canary.end(CanaryState.STOPPED, "by an operator")

    def drain(self) -> None:
        """Let run_until() return: from there it goes as at SIGTERM."""
        self._drain_asked.set()

    def set_log_level(self, level: str) -> str:
        """From which level on lines are written; the one before."""
        return logs.configure(level)

    async def run_until(self, stop: asyncio.Event) -> int:
        """Return at `stop`, or when a drain was asked for, with 0.

        With 1 when the server has ended by itself: then only a new process helps.
        """
        stopping = [asyncio.ensure_future(event.wait()) for event in (stop, self._drain_asked)]
        ending = asyncio.ensure_future(self._server.wait_for_end())
        await asyncio.wait({*stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in stopping:
            waiting.cancel()
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
        if self._canary is not None:
            await self._canary.close()
        if self._shadow is not None:
            await self._shadow.close()
        self._builder.close()
        await self._caches.close()
        if self._admin is not None:
            await self._admin.stop()
        if self._endpoint is not None:
            await asyncio.to_thread(self._endpoint.close)
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self._tracer.close)
        logs.info("stopped")

    async def _build(self, model: str | None, on_death: OnDeath) -> Serving:
        is_front = self._config.processes.fronts > 0
        generator = await (self._join_engines if is_front else self._load_engine)(model, on_death)
        answerer = Answerer(
            ladder=self._builder.ladder(generator, metrics=self.metrics, learned=self._builder.learned),
            cache=self._caches.replies,
            keys=self._caches.keys,
            metrics=self.metrics,
            quotas=self._quotas,
            second=self._canary.canary if self._canary is not None else None,
        )
        engine = generator and generator.engine
        return Serving(answerer, engine, tracer=self._tracer, on_reply=self._answered)

    async def _load_engine(self, model: str | None, on_death: OnDeath) -> Generator | None:
        engine = self._config.engine if model is None else replace(self._config.engine, model=model)
        summarizer = await self._builder.load(engine)
        if summarizer is None:
            return None
        self._caches.share_states(summarizer)
        return self._builder.generator(summarizer, on_death)

    async def _join_engines(self, model: str | None, on_death: OnDeath) -> Generator | None:
        """Those of other processes: this one is a front."""
        if model is not None:
            raise Conflict("the engines of other processes run what engine.model names")
        return await self._join(self._config, on_death)

    async def _warm_up(self, serving: Serving) -> None:
        await self._builder.warm_up(serving.ladder.generator)

    def _show(self, serving: Serving) -> None:
        self.metrics.watch_queue(lambda: serving.num_waiting)
        engine = serving.engine
        if engine is not None:
            learned = self._builder.learned
            learned.answers(serving.version or "", num_places=engine.num_places, capacity=engine.capacity)
        self._servicer.answerer = serving

    async def _tell(self, is_whole: bool) -> None:
        await self.health.become(State.READY if is_whole else State.ENGINE_DOWN)

    def _answered(self, request: Request, reply: Reply) -> None:
        serving = self._host.serving
        if self._shadow is not None and serving is not None and reply.model_version == serving.version:
            self._shadow.observe(request, reply)

    def _no_swap(self) -> QdtsError | None:
        """What stands in the way of any swap now."""
        if self.health.state in (State.DRAINING, State.CLOSED):
            return Draining("the server is about to exit")
        if not self._host.has_begun:
            return Conflict("the server has only begun to start: it loads what engine.model names")
        return None

    def _canary_runs(self) -> bool:
        return self._canary is not None and self._canary.canary.state is CanaryState.RUNNING

    def _open_endpoint(self) -> AdminEndpoint:
        host, port = self._config.metrics.host, self._config.metrics.port
        try:
            return AdminEndpoint(
                self.metrics,
                host=host,
                port=port,
                state=lambda: self.health.state,
                problem=self.liveness.problem,
                # What a front says there, its supervisor tells the operators; else they are told by RPC.
                status=FrontStatus(lambda: write_status(self._parts)) if self._config.processes.fronts else None,
            )
        except OSError as error:
            raise ConfigError(f"metrics: cannot listen on {host}:{port}: {error.strerror}") from error

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
