from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class View(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VIEW_UNSPECIFIED: _ClassVar[View]
    VIEW_BASIC: _ClassVar[View]
    VIEW_FULL: _ClassVar[View]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_INTERACTIVE: _ClassVar[Priority]
    PRIORITY_PREFETCH: _ClassVar[Priority]
    PRIORITY_BULK: _ClassVar[Priority]

class Tier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIER_UNSPECIFIED: _ClassVar[Tier]
    TIER_AUTO: _ClassVar[Tier]
    TIER_FAST: _ClassVar[Tier]
    TIER_GENERATIVE: _ClassVar[Tier]
    TIER_BEST: _ClassVar[Tier]

class CachePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CACHE_POLICY_UNSPECIFIED: _ClassVar[CachePolicy]
    CACHE_POLICY_DEFAULT: _ClassVar[CachePolicy]
    CACHE_POLICY_ONLY_FRESH: _ClassVar[CachePolicy]
    CACHE_POLICY_REFRESH: _ClassVar[CachePolicy]
    CACHE_POLICY_BYPASS: _ClassVar[CachePolicy]

class Rung(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUNG_UNSPECIFIED: _ClassVar[Rung]
    RUNG_CACHE: _ClassVar[Rung]
    RUNG_FULL: _ClassVar[Rung]
    RUNG_SHORTER: _ClassVar[Rung]
    RUNG_PASSAGES: _ClassVar[Rung]
    RUNG_STALE: _ClassVar[Rung]
    RUNG_EXTRACTIVE: _ClassVar[Rung]
    RUNG_LEAD: _ClassVar[Rung]

class DegradeReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEGRADE_REASON_UNSPECIFIED: _ClassVar[DegradeReason]
    DEGRADE_REASON_DEADLINE_SHORT: _ClassVar[DegradeReason]
    DEGRADE_REASON_DEADLINE_MISSED: _ClassVar[DegradeReason]
    DEGRADE_REASON_OVERLOADED: _ClassVar[DegradeReason]
    DEGRADE_REASON_NO_MODEL: _ClassVar[DegradeReason]
    DEGRADE_REASON_ENGINE_FAILED: _ClassVar[DegradeReason]
    DEGRADE_REASON_GUARD_REJECTED: _ClassVar[DegradeReason]
    DEGRADE_REASON_CANARY: _ClassVar[DegradeReason]

class CacheStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CACHE_STATUS_UNSPECIFIED: _ClassVar[CacheStatus]
    CACHE_STATUS_MISS: _ClassVar[CacheStatus]
    CACHE_STATUS_HIT: _ClassVar[CacheStatus]
    CACHE_STATUS_STALE: _ClassVar[CacheStatus]
    CACHE_STATUS_SHARED: _ClassVar[CacheStatus]
    CACHE_STATUS_BYPASS: _ClassVar[CacheStatus]
VIEW_UNSPECIFIED: View
VIEW_BASIC: View
VIEW_FULL: View
PRIORITY_UNSPECIFIED: Priority
PRIORITY_INTERACTIVE: Priority
PRIORITY_PREFETCH: Priority
PRIORITY_BULK: Priority
TIER_UNSPECIFIED: Tier
TIER_AUTO: Tier
TIER_FAST: Tier
TIER_GENERATIVE: Tier
TIER_BEST: Tier
CACHE_POLICY_UNSPECIFIED: CachePolicy
CACHE_POLICY_DEFAULT: CachePolicy
CACHE_POLICY_ONLY_FRESH: CachePolicy
CACHE_POLICY_REFRESH: CachePolicy
CACHE_POLICY_BYPASS: CachePolicy
RUNG_UNSPECIFIED: Rung
RUNG_CACHE: Rung
RUNG_FULL: Rung
RUNG_SHORTER: Rung
RUNG_PASSAGES: Rung
RUNG_STALE: Rung
RUNG_EXTRACTIVE: Rung
RUNG_LEAD: Rung
DEGRADE_REASON_UNSPECIFIED: DegradeReason
DEGRADE_REASON_DEADLINE_SHORT: DegradeReason
DEGRADE_REASON_DEADLINE_MISSED: DegradeReason
DEGRADE_REASON_OVERLOADED: DegradeReason
DEGRADE_REASON_NO_MODEL: DegradeReason
DEGRADE_REASON_ENGINE_FAILED: DegradeReason
DEGRADE_REASON_GUARD_REJECTED: DegradeReason
DEGRADE_REASON_CANARY: DegradeReason
CACHE_STATUS_UNSPECIFIED: CacheStatus
CACHE_STATUS_MISS: CacheStatus
CACHE_STATUS_HIT: CacheStatus
CACHE_STATUS_STALE: CacheStatus
CACHE_STATUS_SHARED: CacheStatus
CACHE_STATUS_BYPASS: CacheStatus

class SummarizeRequest(_message.Message):
    __slots__ = ("query", "document", "options", "request_id")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    query: str
    document: Document
    options: SummarizeOptions
    request_id: str
    def __init__(self, query: _Optional[str] = ..., document: _Optional[_Union[Document, _Mapping]] = ..., options: _Optional[_Union[SummarizeOptions, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("title", "text", "language_code", "document_id")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    title: str
    text: str
    language_code: str
    document_id: str
    def __init__(self, title: _Optional[str] = ..., text: _Optional[str] = ..., language_code: _Optional[str] = ..., document_id: _Optional[str] = ...) -> None: ...

class SummarizeOptions(_message.Message):
    __slots__ = ("max_words", "view", "priority", "tier", "cache_policy")
    MAX_WORDS_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    CACHE_POLICY_FIELD_NUMBER: _ClassVar[int]
    max_words: int
    view: View
    priority: Priority
    tier: Tier
    cache_policy: CachePolicy
    def __init__(self, max_words: _Optional[int] = ..., view: _Optional[_Union[View, str]] = ..., priority: _Optional[_Union[Priority, str]] = ..., tier: _Optional[_Union[Tier, str]] = ..., cache_policy: _Optional[_Union[CachePolicy, str]] = ...) -> None: ...

class TextSpan(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class SummarySentence(_message.Message):
    __slots__ = ("text", "summary_span", "source_span")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_SPAN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_SPAN_FIELD_NUMBER: _ClassVar[int]
    text: str
    summary_span: TextSpan
    source_span: TextSpan
    def __init__(self, text: _Optional[str] = ..., summary_span: _Optional[_Union[TextSpan, _Mapping]] = ..., source_span: _Optional[_Union[TextSpan, _Mapping]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("queue_ms", "encode_ms", "decode_ms", "total_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    ENCODE_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    encode_ms: float
    decode_ms: float
    total_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., encode_ms: _Optional[float] = ..., decode_ms: _Optional[float] = ..., total_ms: _Optional[float] = ...) -> None: ...

class TokenCounts(_message.Message):
    __slots__ = ("input_tokens", "output_tokens", "decode_steps")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DECODE_STEPS_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    output_tokens: int
    decode_steps: int
    def __init__(self, input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., decode_steps: _Optional[int] = ...) -> None: ...

class SummarizeResponse(_message.Message):
    __slots__ = ("summary", "sentences", "document_sha256", "rung", "degrade_reasons", "origin_rung", "coverage", "cache_status", "model_version", "timings", "tokens", "request_id", "document_id")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_SHA256_FIELD_NUMBER: _ClassVar[int]
    RUNG_FIELD_NUMBER: _ClassVar[int]
    DEGRADE_REASONS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_RUNG_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    CACHE_STATUS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    summary: str
    sentences: _containers.RepeatedCompositeFieldContainer[SummarySentence]
    document_sha256: str
    rung: Rung
    degrade_reasons: _containers.RepeatedScalarFieldContainer[DegradeReason]
    origin_rung: Rung
    coverage: float
    cache_status: CacheStatus
    model_version: str
    timings: Timings
    tokens: TokenCounts
    request_id: str
    document_id: str
    def __init__(self, summary: _Optional[str] = ..., sentences: _Optional[_Iterable[_Union[SummarySentence, _Mapping]]] = ..., document_sha256: _Optional[str] = ..., rung: _Optional[_Union[Rung, str]] = ..., degrade_reasons: _Optional[_Iterable[_Union[DegradeReason, str]]] = ..., origin_rung: _Optional[_Union[Rung, str]] = ..., coverage: _Optional[float] = ..., cache_status: _Optional[_Union[CacheStatus, str]] = ..., model_version: _Optional[str] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., tokens: _Optional[_Union[TokenCounts, _Mapping]] = ..., request_id: _Optional[str] = ..., document_id: _Optional[str] = ...) -> None: ...

class BatchSummarizeRequest(_message.Message):
    __slots__ = ("requests", "request_id")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[SummarizeRequest]
    request_id: str
    def __init__(self, requests: _Optional[_Iterable[_Union[SummarizeRequest, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class BatchSummarizeResponse(_message.Message):
    __slots__ = ("results", "request_id")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchSummarizeResult]
    request_id: str
    def __init__(self, results: _Optional[_Iterable[_Union[BatchSummarizeResult, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class BatchSummarizeResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: SummarizeResponse
    error: _status_pb2.Status
    def __init__(self, response: _Optional[_Union[SummarizeResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class StreamSummarizeRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: SummarizeRequest
    def __init__(self, request: _Optional[_Union[SummarizeRequest, _Mapping]] = ...) -> None: ...

class StreamSummarizeResponse(_message.Message):
    __slots__ = ("text_delta", "response")
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    text_delta: str
    response: SummarizeResponse
    def __init__(self, text_delta: _Optional[str] = ..., response: _Optional[_Union[SummarizeResponse, _Mapping]] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "model", "ready", "limits", "rungs", "auto_tier")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    RUNGS_FIELD_NUMBER: _ClassVar[int]
    AUTO_TIER_FIELD_NUMBER: _ClassVar[int]
    version: str
    model: ModelInfo
    ready: bool
    limits: Limits
    rungs: _containers.RepeatedScalarFieldContainer[Rung]
    auto_tier: Tier
    def __init__(self, version: _Optional[str] = ..., model: _Optional[_Union[ModelInfo, _Mapping]] = ..., ready: _Optional[bool] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., rungs: _Optional[_Iterable[_Union[Rung, str]]] = ..., auto_tier: _Optional[_Union[Tier, str]] = ...) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("version", "runtime", "precision", "device", "num_threads")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    NUM_THREADS_FIELD_NUMBER: _ClassVar[int]
    version: str
    runtime: str
    precision: str
    device: str
    num_threads: int
    def __init__(self, version: _Optional[str] = ..., runtime: _Optional[str] = ..., precision: _Optional[str] = ..., device: _Optional[str] = ..., num_threads: _Optional[int] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_query_chars", "max_document_chars", "max_batch_items", "min_words", "max_words", "default_words", "default_deadline_ms", "max_deadline_ms", "max_message_bytes")
    MAX_QUERY_CHARS_FIELD_NUMBER: _ClassVar[int]
    MAX_DOCUMENT_CHARS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MIN_WORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_WORDS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_WORDS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_query_chars: int
    max_document_chars: int
    max_batch_items: int
    min_words: int
    max_words: int
    default_words: int
    default_deadline_ms: int
    max_deadline_ms: int
    max_message_bytes: int
    def __init__(self, max_query_chars: _Optional[int] = ..., max_document_chars: _Optional[int] = ..., max_batch_items: _Optional[int] = ..., min_words: _Optional[int] = ..., max_words: _Optional[int] = ..., default_words: _Optional[int] = ..., default_deadline_ms: _Optional[int] = ..., max_deadline_ms: _Optional[int] = ..., max_message_bytes: _Optional[int] = ...) -> None: ...
