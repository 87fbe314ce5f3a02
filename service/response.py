"""Reply -> proto. Knows nothing of calls."""

from qdts import __version__
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service.config import ServerConfig
from qdts.service.ladder import Ladder
from qdts.service.reply import Reply, Rung
from qdts.service.request import Request, View
from qdts.v1 import summarization_pb2 as pb


def write_response(reply: Reply, request: Request, *, total_ms: float) -> pb.SummarizeResponse:
    """The response to `request`, as full as its view asks."""
    response = pb.SummarizeResponse(
        summary=reply.summary.text,
        document_sha256=request.document_sha256,
        rung=f"RUNG_{reply.rung.name}",
        degrade_reasons=[f"DEGRADE_REASON_{reason.name}" for reason in reply.reasons],
        origin_rung=f"RUNG_{reply.origin_rung.name}",
        coverage=reply.summary.coverage,
        cache_status=f"CACHE_STATUS_{reply.cache_status.name}",
        model_version=reply.model_version,
        request_id=request.request_id,
        document_id=request.document_id,
    )
    if request.view is View.FULL:
        _add_details(response, reply, total_ms)
    return response


def write_server_info(config: ServerConfig, ladder: Ladder | None, *, is_ready: bool) -> pb.GetServerInfoResponse:
    """What this server is; without a ladder it is still loading."""
    if ladder is None:
        return pb.GetServerInfoResponse(version=__version__, limits=_limits(config))
    summarizer = ladder.generator.summarizer if ladder.generator is not None else None
    return pb.GetServerInfoResponse(
        version=__version__,
        model=_model(summarizer.version, summarizer.info) if summarizer is not None else None,
        ready=is_ready,
        limits=_limits(config),
        rungs=[f"RUNG_{rung.name}" for rung in _rungs(config, has_model=summarizer is not None)],
        auto_tier=f"TIER_{ladder.auto.name}",
    )


def _rungs(config: ServerConfig, *, has_model: bool) -> list[Rung]:
    rungs = [Rung.EXTRACTIVE, Rung.LEAD]
    if has_model:
        rungs += [Rung.FULL, Rung.SHORTER, Rung.PASSAGES]
    if config.cache.max_entries or config.redis.url:
        rungs += [Rung.CACHE, Rung.STALE] if config.cache.stale_s else [Rung.CACHE]
    return sorted(rungs)


def _add_details(response: pb.SummarizeResponse, reply: Reply, total_ms: float) -> None:
    summary, timings = reply.summary, reply.timings
    start = 0
    for sentence in summary.sentences:
        end = start + len(sentence.text)
        written = response.sentences.add(text=sentence.text, summary_span=pb.TextSpan(start=start, end=end))
        if sentence.source is not None:
            written.source_span.CopyFrom(pb.TextSpan(start=sentence.source.start, end=sentence.source.end))
        start = end + 1  # the space between two sentences
    response.timings.CopyFrom(
        pb.Timings(
            queue_ms=timings.queue_ms,
            encode_ms=timings.encode_ms,
            decode_ms=timings.decode_ms,
            total_ms=total_ms,
        )
    )
    response.tokens.CopyFrom(
        pb.TokenCounts(
            input_tokens=summary.num_input_tokens,
            output_tokens=summary.num_output_tokens,
            decode_steps=summary.num_steps,
        )
    )


def _model(version: str, info: RuntimeInfo) -> pb.ModelInfo:
    return pb.ModelInfo(
        version=version,
        runtime=info.name,
        precision=info.precision,
        device=info.device,
        num_threads=info.num_threads,
    )


def _limits(config: ServerConfig) -> pb.Limits:
    limits = config.limits
    return pb.Limits(
        max_query_chars=limits.max_query_chars,
        max_document_chars=limits.max_document_chars,
        max_batch_items=limits.max_batch_items,
        min_words=limits.min_words,
        max_words=limits.max_words,
        default_words=limits.default_words,
        default_deadline_ms=config.deadlines.default_ms,
        max_deadline_ms=config.deadlines.max_ms,
        max_message_bytes=limits.max_message_bytes,
    )
