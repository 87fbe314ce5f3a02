"""JSON log lines on standard error. Never any text of requests: faults are logged as type and frames.

An exception's message may quote what it choked on, so it stays out, and so do the source lines of a
traceback.
"""

import logging
import threading
import traceback
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

import structlog

from qdts.service.log_stream import StandardError

Logger = structlog.typing.FilteringBoundLogger


@dataclass(slots=True)
class _Configured:
    """How lines are written now: from which level on, and by whom, "" where there is one process."""

    level: str = "debug"  # structlog's own before anybody sets one
    process: str = ""
    # Made once per configuration: making it anew for each line takes as long as writing the line.
    logger: Logger | None = None


_now = _Configured()


def configure(level: str, *, process: str = "") -> str:
    """One JSON object per line, with time and level, from `level` up; the level before.

    `process` says which of several writes it, also in later configurations.
    """
    before = _now.level
    _now.level, _now.process = level, process or _now.process
    names: list[structlog.typing.Processor] = [_named(_now.process)] if _now.process else []
    structlog.configure(
        processors=[
            *names,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=StandardError,
        cache_logger_on_first_use=False,
    )
    _now.logger = cast(Logger, structlog.get_logger().bind())
    # gRPC's own logger quotes exceptions of handlers; ours reports them without their text.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    # So would Python's own last words on a thread.
    threading.excepthook = _thread_died
    return before


def level_now() -> str:
    """From which level on lines are written."""
    return _now.level


def info(event: str, **fields: object) -> None:
    """Log something that happened."""
    _logger().info(event, **fields)


def warning(event: str, **fields: object) -> None:
    """Log something that someone should look at."""
    _logger().warning(event, **fields)


def fault(event: str, error: BaseException, **fields: object) -> None:
    """Log an error of ours: where it was raised, not what it says."""
    _logger().error(event, error=type(error).__name__, frames=frames(error), **fields)


def loop_fault(loop: object, context: dict[str, object]) -> None:
    """Log what an event loop found nobody to tell: for its set_exception_handler."""
    del loop
    error = context.get("exception")
    if isinstance(error, BaseException):
        fault("loop_fault", error)
    else:
        _logger().error("loop_fault", message=context.get("message"))


def frames(error: BaseException) -> list[str]:
    """ "file:line function" from the outermost frame to the one that raised."""
    return [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]


def with_request(request_id: str) -> AbstractContextManager[None]:
    """A context manager: lines logged within carry the request's id."""
    return structlog.contextvars.bound_contextvars(request_id=request_id)


def _thread_died(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread is not None else None
    if args.exc_value is not None:
        fault("thread_died", args.exc_value, thread=name)


def _named(process: str) -> structlog.typing.Processor:
    def add(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        del logger, method
        event["process"] = process
        return event

    return add


def _logger() -> Logger:
    return _now.logger or cast(Logger, structlog.get_logger())
