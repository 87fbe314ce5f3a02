import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from qdts.v1 import summarization_pb2 as _summarization_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProcessState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROCESS_STATE_UNSPECIFIED: _ClassVar[ProcessState]
    PROCESS_STATE_AWAY: _ClassVar[ProcessState]
    PROCESS_STATE_NOT_READY: _ClassVar[ProcessState]
    PROCESS_STATE_READY: _ClassVar[ProcessState]
    PROCESS_STATE_LEAVING: _ClassVar[ProcessState]

class ServerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVER_STATE_UNSPECIFIED: _ClassVar[ServerState]
    SERVER_STATE_LOADING: _ClassVar[ServerState]
    SERVER_STATE_READY: _ClassVar[ServerState]
    SERVER_STATE_ENGINE_DOWN: _ClassVar[ServerState]
    SERVER_STATE_DRAINING: _ClassVar[ServerState]
    SERVER_STATE_CLOSED: _ClassVar[ServerState]

class BreakerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BREAKER_STATE_UNSPECIFIED: _ClassVar[BreakerState]
    BREAKER_STATE_CLOSED: _ClassVar[BreakerState]
    BREAKER_STATE_HALF_OPEN: _ClassVar[BreakerState]
    BREAKER_STATE_OPEN: _ClassVar[BreakerState]

class SwapState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SWAP_STATE_UNSPECIFIED: _ClassVar[SwapState]
    SWAP_STATE_RUNNING: _ClassVar[SwapState]
    SWAP_STATE_SUCCEEDED: _ClassVar[SwapState]
    SWAP_STATE_FAILED: _ClassVar[SwapState]

class CanaryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CANARY_STATE_UNSPECIFIED: _ClassVar[CanaryState]
    CANARY_STATE_LOADING: _ClassVar[CanaryState]
    CANARY_STATE_RUNNING: _ClassVar[CanaryState]
    CANARY_STATE_DOWN: _ClassVar[CanaryState]
    CANARY_STATE_FAILED: _ClassVar[CanaryState]
    CANARY_STATE_STOPPED: _ClassVar[CanaryState]
    CANARY_STATE_PROMOTED: _ClassVar[CanaryState]

class LogLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOG_LEVEL_UNSPECIFIED: _ClassVar[LogLevel]
    LOG_LEVEL_DEBUG: _ClassVar[LogLevel]
    LOG_LEVEL_INFO: _ClassVar[LogLevel]
    LOG_LEVEL_WARNING: _ClassVar[LogLevel]
    LOG_LEVEL_ERROR: _ClassVar[LogLevel]
PROCESS_STATE_UNSPECIFIED: ProcessState
PROCESS_STATE_AWAY: ProcessState
PROCESS_STATE_NOT_READY: ProcessState
PROCESS_STATE_READY: ProcessState
PROCESS_STATE_LEAVING: ProcessState
SERVER_STATE_UNSPECIFIED: ServerState
SERVER_STATE_LOADING: ServerState
SERVER_STATE_READY: ServerState
SERVER_STATE_ENGINE_DOWN: ServerState
SERVER_STATE_DRAINING: ServerState
SERVER_STATE_CLOSED: ServerState
BREAKER_STATE_UNSPECIFIED: BreakerState
BREAKER_STATE_CLOSED: BreakerState
BREAKER_STATE_HALF_OPEN: BreakerState
BREAKER_STATE_OPEN: BreakerState
SWAP_STATE_UNSPECIFIED: SwapState
SWAP_STATE_RUNNING: SwapState
SWAP_STATE_SUCCEEDED: SwapState
SWAP_STATE_FAILED: SwapState
CANARY_STATE_UNSPECIFIED: CanaryState
CANARY_STATE_LOADING: CanaryState
CANARY_STATE_RUNNING: CanaryState
CANARY_STATE_DOWN: CanaryState
CANARY_STATE_FAILED: CanaryState
CANARY_STATE_STOPPED: CanaryState
CANARY_STATE_PROMOTED: CanaryState
LOG_LEVEL_UNSPECIFIED: LogLevel
LOG_LEVEL_DEBUG: LogLevel
LOG_LEVEL_INFO: LogLevel
LOG_LEVEL_WARNING: LogLevel
LOG_LEVEL_ERROR: LogLevel

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("state", "version", "model_version", "uptime_seconds", "classes", "num_running", "concurrency_limit", "costs", "cache", "swap", "canary", "problem", "log_level", "processes")
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    NUM_RUNNING_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_LIMIT_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    SWAP_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    LOG_LEVEL_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    state: ServerState
    version: str
    model_version: str
    uptime_seconds: float
    classes: _containers.RepeatedCompositeFieldContainer[ClassStatus]
    num_running: int
    concurrency_limit: int
    costs: _containers.RepeatedCompositeFieldContainer[PredictedCost]
    cache: CacheState
    swap: ModelSwap
    canary: CanaryStatus
    problem: str
    log_level: LogLevel
    processes: _containers.RepeatedCompositeFieldContainer[ProcessStatus]
    def __init__(self, state: _Optional[_Union[ServerState, str]] = ..., version: _Optional[str] = ..., model_version: _Optional[str] = ..., uptime_seconds: _Optional[float] = ..., classes: _Optional[_Iterable[_Union[ClassStatus, _Mapping]]] = ..., num_running: _Optional[int] = ..., concurrency_limit: _Optional[int] = ..., costs: _Optional[_Iterable[_Union[PredictedCost, _Mapping]]] = ..., cache: _Optional[_Union[CacheState, _Mapping]] = ..., swap: _Optional[_Union[ModelSwap, _Mapping]] = ..., canary: _Optional[_Union[CanaryStatus, _Mapping]] = ..., problem: _Optional[str] = ..., log_level: _Optional[_Union[LogLevel, str]] = ..., processes: _Optional[_Iterable[_Union[ProcessStatus, _Mapping]]] = ...) -> None: ...

class ProcessStatus(_message.Message):
    __slots__ = ("name", "pid", "state", "num_restarts", "model_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NUM_RESTARTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    pid: int
    state: ProcessState
    num_restarts: int
    model_version: str
    def __init__(self, name: _Optional[str] = ..., pid: _Optional[int] = ..., state: _Optional[_Union[ProcessState, str]] = ..., num_restarts: _Optional[int] = ..., model_version: _Optional[str] = ...) -> None: ...

class ClassStatus(_message.Message):
    __slots__ = ("priority", "num_inside", "num_waiting", "pressure_level", "best_rung")
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    NUM_INSIDE_FIELD_NUMBER: _ClassVar[int]
    NUM_WAITING_FIELD_NUMBER: _ClassVar[int]
    PRESSURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    BEST_RUNG_FIELD_NUMBER: _ClassVar[int]
    priority: _summarization_pb2.Priority
    num_inside: int
    num_waiting: int
    pressure_level: int
    best_rung: _summarization_pb2.Rung
    def __init__(self, priority: _Optional[_Union[_summarization_pb2.Priority, str]] = ..., num_inside: _Optional[int] = ..., num_waiting: _Optional[int] = ..., pressure_level: _Optional[int] = ..., best_rung: _Optional[_Union[_summarization_pb2.Rung, str]] = ...) -> None: ...

class PredictedCost(_message.Message):
    __slots__ = ("rung", "max_tokens", "max_batch", "milliseconds", "num_times")
    RUNG_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    NUM_TIMES_FIELD_NUMBER: _ClassVar[int]
    rung: _summarization_pb2.Rung
    max_tokens: int
    max_batch: int
    milliseconds: float
    num_times: int
    def __init__(self, rung: _Optional[_Union[_summarization_pb2.Rung, str]] = ..., max_tokens: _Optional[int] = ..., max_batch: _Optional[int] = ..., milliseconds: _Optional[float] = ..., num_times: _Optional[int] = ...) -> None: ...

class CacheState(_message.Message):
    __slots__ = ("num_entries", "num_bytes", "redis_read", "redis_write")
    NUM_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NUM_BYTES_FIELD_NUMBER: _ClassVar[int]
    REDIS_READ_FIELD_NUMBER: _ClassVar[int]
    REDIS_WRITE_FIELD_NUMBER: _ClassVar[int]
    num_entries: int
    num_bytes: int
    redis_read: BreakerState
    redis_write: BreakerState
    def __init__(self, num_entries: _Optional[int] = ..., num_bytes: _Optional[int] = ..., redis_read: _Optional[_Union[BreakerState, str]] = ..., redis_write: _Optional[_Union[BreakerState, str]] = ...) -> None: ...

class ModelSwap(_message.Message):
    __slots__ = ("number", "model", "state", "model_version", "problem", "started_at", "ended_at")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    number: int
    model: str
    state: SwapState
    model_version: str
    problem: str
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., model: _Optional[str] = ..., state: _Optional[_Union[SwapState, str]] = ..., model_version: _Optional[str] = ..., problem: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CanaryStatus(_message.Message):
    __slots__ = ("model", "model_version", "state", "share", "problem", "canary", "stable", "num_same", "num_different")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    NUM_SAME_FIELD_NUMBER: _ClassVar[int]
    NUM_DIFFERENT_FIELD_NUMBER: _ClassVar[int]
    model: str
    model_version: str
    state: CanaryState
    share: float
    problem: str
    canary: Answers
    stable: Answers
    num_same: int
    num_different: int
    def __init__(self, model: _Optional[str] = ..., model_version: _Optional[str] = ..., state: _Optional[_Union[CanaryState, str]] = ..., share: _Optional[float] = ..., problem: _Optional[str] = ..., canary: _Optional[_Union[Answers, _Mapping]] = ..., stable: _Optional[_Union[Answers, _Mapping]] = ..., num_same: _Optional[int] = ..., num_different: _Optional[int] = ...) -> None: ...

class Answers(_message.Message):
    __slots__ = ("num_answers", "num_failed", "num_late")
    NUM_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    NUM_FAILED_FIELD_NUMBER: _ClassVar[int]
    NUM_LATE_FIELD_NUMBER: _ClassVar[int]
    num_answers: int
    num_failed: int
    num_late: int
    def __init__(self, num_answers: _Optional[int] = ..., num_failed: _Optional[int] = ..., num_late: _Optional[int] = ...) -> None: ...

class SwapModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class SwapModelResponse(_message.Message):
    __slots__ = ("swap",)
    SWAP_FIELD_NUMBER: _ClassVar[int]
    swap: ModelSwap
    def __init__(self, swap: _Optional[_Union[ModelSwap, _Mapping]] = ...) -> None: ...

class PromoteCanaryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PromoteCanaryResponse(_message.Message):
    __slots__ = ("swap",)
    SWAP_FIELD_NUMBER: _ClassVar[int]
    swap: ModelSwap
    def __init__(self, swap: _Optional[_Union[ModelSwap, _Mapping]] = ...) -> None: ...

class StopCanaryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopCanaryResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetLogLevelRequest(_message.Message):
    __slots__ = ("level",)
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    level: LogLevel
    def __init__(self, level: _Optional[_Union[LogLevel, str]] = ...) -> None: ...

class SetLogLevelResponse(_message.Message):
    __slots__ = ("previous",)
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    previous: LogLevel
    def __init__(self, previous: _Optional[_Union[LogLevel, str]] = ...) -> None: ...
