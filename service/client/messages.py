"""Requests and replies as dataclasses, and the way to and from their proto forms. Calls nothing.

Names of enum values are the proto's, without prefix and in lower case: RUNG_FULL is "full". A value that a
newer server sends and this client does not know yet is "unrecognized_<number>".
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict, Unpack

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper as Enum

from qdts.errors import InvalidRequest, QdtsError
from qdts.models.document import Document, Span
from qdts.service.client.faults import error_of
from qdts.v1 import summarization_pb2 as pb

Tier = Literal["auto", "fast", "generative", "best"]
Priority = Literal["interactive", "prefetch", "bulk"]
CachePolicy = Literal["default", "only_fresh", "refresh", "bypass"]
View = Literal["basic", "full"]


class Options(TypedDict, total=False):
    """What a request may say besides query and document; the proto file tells what each does."""

    max_words: int
    tier: Tier
    priority: Priority
    cache_policy: CachePolicy
    view: View
    request_id: str
    document_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One item of a batch. `max_words` 0 leaves the length to the server."""

    query: str
    document: Document | str
    max_words: int = 0
    tier: Tier = "auto"
    priority: Priority = "interactive"
    cache_policy: CachePolicy = "default"
    view: View = "full"
    request_id: str = ""
    document_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence, its place in the summary and in the document (None: nowhere verbatim)."""

    text: str
    summary_span: Span
    source_span: Span | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where the server's time went."""

    queue_ms: float
    encode_ms: float
    decode_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """What the model read and wrote, in how many passes of the decoder."""

    input_tokens: int
    output_tokens: int
    decode_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A summary and how it came about; each field as in SummarizeResponse."""

    summary: str
    sentences: tuple[Sentence, ...]
    document_sha256: str
    rung: str
    degrade_reasons: tuple[str, ...]
    origin_rung: str
    coverage: float
    cache_status: str
    model_version: str
    timings: Timings
    tokens: TokenCounts
    request_id: str
    document_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """The server's generative model and what executes it."""

    version: str
    runtime: str
    precision: str
    device: str
    num_threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds the server enforces; each field as in the proto's Limits."""

    max_query_chars: int
    max_document_chars: int
    max_batch_items: int
    min_words: int
    max_words: int
    default_words: int
    default_deadline_ms: int
    max_deadline_ms: int
    max_message_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What a server is; `model` is None where it answers extractively only."""

    version: str
    model: ModelInfo | None
    ready: bool
    limits: Limits
    rungs: tuple[str, ...]
    auto_tier: str


def make_request(query: str, document: Document | str, **options: Unpack[Options]) -> pb.SummarizeRequest:
    """The proto form of a single call's arguments."""
    return to_proto(Request(query=query, document=document, **options))


def to_proto(request: Request) -> pb.SummarizeRequest:
    """The proto form of a request."""
    document = Document(text=request.document) if isinstance(request.document, str) else request.document
    return pb.SummarizeRequest(
        query=_text("query", request.query),
        document=pb.Document(
            title=_text("document.title", document.title),
            text=_text("document.text", document.text),
            language_code=_text("document.language_code", document.language),
            document_id=_text("document.document_id", request.document_id),
        ),
        options=_to_options(request),
        request_id=_text("request_id", request.request_id),
    )


def to_batch(requests: Sequence[Request]) -> pb.BatchSummarizeRequest:
    """The proto form of a batch."""
    return pb.BatchSummarizeRequest(requests=[to_proto(request) for request in requests])


def from_proto(message: pb.SummarizeResponse) -> Reply:
    """The reply a message stands for."""
    return Reply(
        summary=message.summary,
        sentences=tuple(_sentence(sentence) for sentence in message.sentences),
        document_sha256=message.document_sha256,
        rung=_name(pb.Rung, message.rung),
        degrade_reasons=tuple(_name(pb.DegradeReason, reason) for reason in message.degrade_reasons),
        origin_rung=_name(pb.Rung, message.origin_rung),
        coverage=message.coverage,
        cache_status=_name(pb.CacheStatus, message.cache_status),
        model_version=message.model_version,
        timings=_timings(message.timings),
        tokens=_tokens(message.tokens),
        request_id=message.request_id,
        document_id=message.document_id,
    )


def from_batch(message: pb.BatchSummarizeResponse) -> list[Reply | QdtsError]:
    """One result per item, in order."""
    return [error_of(item.error) if item.HasField("error") else from_proto(item.response) for item in message.results]


def from_info(message: pb.GetServerInfoResponse) -> ServerInfo:
    """The server a message describes."""
    return ServerInfo(
        version=message.version,
        model=_model_info(message.model) if message.HasField("model") else None,
        ready=message.ready,
        limits=Limits(**_values(message.limits, Limits)),
        rungs=tuple(_name(pb.Rung, rung) for rung in message.rungs),
        auto_tier=_name(pb.Tier, message.auto_tier),
    )


def _to_options(request: Request) -> pb.SummarizeOptions:
    return pb.SummarizeOptions(
        max_words=_int32("options.max_words", request.max_words),
        view=_choice("options.view", pb.View, request.view),
        priority=_choice("options.priority", pb.Priority, request.priority),
        tier=_choice("options.tier", pb.Tier, request.tier),
        cache_policy=_choice("options.cache_policy", pb.CachePolicy, request.cache_policy),
    )


def _model_info(message: pb.ModelInfo) -> ModelInfo:
    return ModelInfo(**_values(message, ModelInfo))


def _timings(message: pb.Timings) -> Timings:
    return Timings(**_values(message, Timings))


def _tokens(message: pb.TokenCounts) -> TokenCounts:
    return TokenCounts(**_values(message, TokenCounts))


def _sentence(message: pb.SummarySentence) -> Sentence:
    return Sentence(
        text=message.text,
        summary_span=_span(message.summary_span),
        source_span=_span(message.source_span) if message.HasField("source_span") else None,
    )


def _span(message: pb.TextSpan) -> Span:
    return Span(message.start, message.end)


def _values(message: object, cls: type[Any]) -> dict[str, Any]:
    """The fields of a dataclass whose names are those of the message."""
    return {field.name: getattr(message, field.name) for field in fields(cls)}


def _text(field: str, value: str) -> str:
    """`value` itself, if UTF-8 can carry it: a lone surrogate, as careless JSON brings, cannot be sent."""
    try:
        value.encode()
    except UnicodeEncodeError as fault:
        raise InvalidRequest(field, f"holds a lone surrogate at character {fault.start}") from None
    return value


def _int32(field: str, value: int) -> int:
    if not 0 <= value < 2**31:
        raise InvalidRequest(field, f"{value} is not in [0, {2**31 - 1}]")
    return value


def _choice(field: str, enum: Enum, value: str) -> str:
    choices = [name.removeprefix(_prefix(enum)).lower() for name in enum.keys()[1:]]
    if value not in choices:
        raise InvalidRequest(field, f"is not one of {', '.join(choices)}")
    return _prefix(enum) + value.upper()


def _name(enum: Enum, number: int) -> str:
    if number not in enum.values():
        return f"unrecognized_{number}"
    return enum.Name(number).removeprefix(_prefix(enum)).lower()


def _prefix(enum: Enum) -> str:
    return enum.keys()[0].removesuffix("UNSPECIFIED")
