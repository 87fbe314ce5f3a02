"""A server of several processes as its operators see it: their RPCs, and one status for all of its processes."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qdts import __version__
from qdts.errors import Conflict
from qdts.service import logs
from qdts.service.admin_server import AdminServer
from qdts.service.admin_servicer import AdminServicer
from qdts.service.admin_status import write_swap
from qdts.service.config import ServerConfig
from qdts.service.deadline import Deadline
from qdts.service.health import State
from qdts.service.hosting import Swap
from qdts.service.metrics import Metrics
from qdts.service.processes import fleet_status
from qdts.service.processes.child import Child
from qdts.service.processes.engines import Engines
from qdts.service.processes.front_status import read_statuses
from qdts.service.processes.fronts import Fronts
from qdts.service.processes.merged_metrics import MergedMetrics
from qdts.service.processes.place import Place
from qdts.v1 import admin_pb2 as pb

# So long a swap waits for fronts to go over, and how often it looks.
GO_OVER_S, LOOK_EVERY_S = 60.0, 0.1
# Of what this process counts, these samples tell of the operators' calls.
_SAMPLES = (
    "qdts_calls_total",
    "qdts_calls_created",
    "qdts_call_seconds_bucket",
    "qdts_call_seconds_count",
    "qdts_call_seconds_sum",
    "qdts_call_seconds_created",
)


class Supervised(Protocol):
    """What there is to be told of, and to be done: the supervisor's."""

    metrics: MergedMetrics

    @property
    def engines(self) -> Engines: ...

    @property
    def fronts(self) -> Fronts: ...

    @property
    def state(self) -> State: ...

    def problem(self) -> str | None: ...

    def swap(self, model: str | None) -> Swap: ...

    def drain(self) -> None: ...

    def set_log_level(self, level: str) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Front:
    """A front, and what it has just said of itself, if it has."""

    place: Place
    child: Child
    said: pb.GetStatusResponse | None


class OperatedFleet:
    """Its RPCs are open from start() to stop(). ConfigError where they cannot be."""

    def __init__(self, supervisor: Supervised, config: ServerConfig) -> None:
        self._supervisor = supervisor
        self._began_at = time.monotonic()
        metrics = Metrics()
        self._server = AdminServer(config, AdminServicer(self, models_dir=config.admin.models_dir), metrics)
        self.port = self._server.port
        supervisor.metrics.add("supervisor", metrics.registry.restricted_registry(_SAMPLES))

    async def start(self) -> None:
        """Let operators in."""
        await self._server.start()

    async def stop(self) -> None:
        """And no more."""
        await self._server.stop()

    async def status(self) -> pb.GetStatusResponse:
        """How it is. A front that does not say so within a second is left out of the sums."""
        fronts = await self._ask_fronts()
        supervisor, swap = self._supervisor, self._supervisor.engines.last_swap
        status = fleet_status.merge([front.said for front in fronts if front.said is not None])
        status.MergeFrom(
            pb.GetStatusResponse(
                state=f"SERVER_STATE_{supervisor.state.name}",
                version=__version__,
                model_version=supervisor.engines.version or "",
                uptime_seconds=time.monotonic() - self._began_at,
                swap=write_swap(swap) if swap is not None else None,
                problem=supervisor.problem() or "",
                log_level=f"LOG_LEVEL_{logs.level_now().upper()}",
                processes=self._processes(fronts),
            )
        )
        return status

    def swap(self, model: str | None) -> Swap:
        """Put engines with another model in the place of those that are there, and let the fronts go over."""
        return self._supervisor.swap(model)

    def promote_canary(self) -> Swap:
        """There is none."""
        raise Conflict("a server of several processes has no canary")

    def stop_canary(self) -> None:
        """There is none."""
        raise Conflict("a server of several processes has no canary")

    def drain(self) -> None:
        """Begin to end, all of it."""
        self._supervisor.drain()

    def set_log_level(self, level: str) -> str:
        """All processes', those that come later included; the one before."""
        return self._supervisor.set_log_level(level)

    async def gone_over(self) -> str:
        """Wait until all fronts that are there answer with the newest engines; who does not, after GO_OVER_S."""
        until = Deadline.after(GO_OVER_S)
        while behind := await self._behind():
            if until.expired:
                logs.warning("fronts_behind", names=behind)
                return f"not gone over: {', '.join(behind)}"
            await asyncio.sleep(LOOK_EVERY_S)
        return ""

    async def _behind(self) -> list[str]:
        version = self._supervisor.engines.version or ""
        return [
            front.place.name
            for front in await self._ask_fronts()
            # One that has ended meanwhile, or leaves, is followed by one that begins with the newest.
            if front.child is front.place.child and not _answers_with(version, front.said)
        ]

    async def _ask_fronts(self) -> list[_Front]:
        """Those in their places, and those that leave, which still answer calls."""
        there = [(place, child) for place in self._supervisor.fronts.places for child in _children(place)]
        said = await asyncio.to_thread(read_statuses, [child.admin_port for _, child in there])
        return [
            _Front(place=place, child=child, said=status) for (place, child), status in zip(there, said, strict=True)
        ]

    def _processes(self, fronts: Sequence[_Front]) -> list[pb.ProcessStatus]:
        versions = {front.child: front.said.model_version for front in fronts if front.said is not None}
        engines = self._supervisor.engines
        places = [*self._supervisor.fronts.places, *engines.places]
        return [
            *(_in_place(place, versions) for place in places),
            *(_leaving(place, child, versions) for place in places for child in place.leaving),
            *(_leaving(place, place.child, versions) for place in engines.leaving if place.child is not None),
        ]


def _children(place: Place) -> list[Child]:
    return [*([place.child] if place.child is not None else []), *place.leaving]


def _answers_with(version: str, front: pb.GetStatusResponse | None) -> bool:
    return front is not None and front.model_version == version and front.swap.state != pb.SWAP_STATE_RUNNING


def _in_place(place: Place, versions: dict[Child, str]) -> pb.ProcessStatus:
    child = place.child
    there = pb.PROCESS_STATE_READY if place.is_ready else pb.PROCESS_STATE_NOT_READY
    return pb.ProcessStatus(
        name=place.name,
        pid=child.pid if child is not None else 0,
        state=there if child is not None else pb.PROCESS_STATE_AWAY,
        num_restarts=place.num_restarts,
        model_version=_version(child, versions) if child is not None else "",
    )


def _leaving(place: Place, child: Child, versions: dict[Child, str]) -> pb.ProcessStatus:
    return pb.ProcessStatus(
        name=place.name, pid=child.pid, state=pb.PROCESS_STATE_LEAVING, model_version=_version(child, versions)
    )


def _version(child: Child, versions: dict[Child, str]) -> str:
    """Engines have said it at their start, fronts say it now."""
    return child.model or versions.get(child, "")
