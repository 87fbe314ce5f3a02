"""The operators' RPCs: checks what is asked, has it done, says what has begun. Waits for nothing."""

from pathlib import Path
from typing import Protocol

from qdts.errors import InvalidRequest
from qdts.service import logs
from qdts.service.admin_status import write_swap
from qdts.service.call_context import CallContext
from qdts.service.hosting import Swap
from qdts.v1 import admin_pb2 as pb
from qdts.v1 import admin_pb2_grpc as pb_grpc

_PREFIX = "LOG_LEVEL_"


class Operated(Protocol):
    """A server, as those who run it see it. Conflict where what is asked does not go with what it is doing."""

    async def status(self) -> pb.GetStatusResponse:
        """How it is. Waits for nothing but what its own processes say of themselves, a second at most."""
        ...

    def swap(self, model: str | None) -> Swap:
        """Begin to put a model in place; None: what engine.model names."""
        ...

    def promote_canary(self) -> Swap:
        """Begin to put the canary's model in place."""
        ...

    def stop_canary(self) -> None:
        """Give it no more requests."""
        ...

    def drain(self) -> None:
        """Begin to end."""
        ...

    def set_log_level(self, level: str) -> str:
        """From which level on it logs; the one before."""
        ...


class AdminServicer(pb_grpc.AdminServiceServicer):
    """Operates one server. `models_dir` is where other models may lie; "": nowhere."""

    def __init__(self, server: Operated, *, models_dir: str) -> None:
        self._server, self._models_dir = server, models_dir

    async def GetStatus(self, request: pb.GetStatusRequest, context: CallContext) -> pb.GetStatusResponse:  # noqa: N802
        """How the server is now."""
        return await self._server.status()

    async def SwapModel(self, request: pb.SwapModelRequest, context: CallContext) -> pb.SwapModelResponse:  # noqa: N802
        """Begin a swap."""
        model = find_below(self._models_dir, request.model) if request.model else None
        return pb.SwapModelResponse(swap=write_swap(self._server.swap(model)))

    async def PromoteCanary(  # noqa: N802
        self, request: pb.PromoteCanaryRequest, context: CallContext
    ) -> pb.PromoteCanaryResponse:
        """Begin to put the canary's model in place."""
        return pb.PromoteCanaryResponse(swap=write_swap(self._server.promote_canary()))

    async def StopCanary(  # noqa: N802
        self, request: pb.StopCanaryRequest, context: CallContext
    ) -> pb.StopCanaryResponse:
        """End the canary."""
        self._server.stop_canary()
        return pb.StopCanaryResponse()

    async def Drain(self, request: pb.DrainRequest, context: CallContext) -> pb.DrainResponse:  # noqa: N802
        """Begin to end."""
        self._server.drain()
        return pb.DrainResponse()

    async def SetLogLevel(  # noqa: N802
        self, request: pb.SetLogLevelRequest, context: CallContext
    ) -> pb.SetLogLevelResponse:
        """From now on."""
        known = pb.LogLevel.values()[1:]
        if request.level not in known:
            raise InvalidRequest("level", f"is {request.level}; must be one of {', '.join(map(str, known))}")
        level = pb.LogLevel.Name(request.level).removeprefix(_PREFIX).lower()
        before = self._server.set_log_level(level)
        logs.warning("log_level_set", level=level, before=before)
        return pb.SetLogLevelResponse(previous=f"{_PREFIX}{before.upper()}")


def find_below(models_dir: str, name: str) -> str:
    """The directory `name` below `models_dir`, links followed; InvalidRequest where it is not there."""
    if not models_dir:
        raise InvalidRequest("model", "must be empty: admin.models_dir names no directory that models may lie in")
    root = Path(models_dir).resolve()
    try:
        found = (root / name).resolve()
        is_there = found.is_relative_to(root) and found != root and found.is_dir()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, links in a circle
        is_there = False
    if not is_there:
        raise InvalidRequest("model", "must be a directory below admin.models_dir, by its path from there")
    return str(found)
