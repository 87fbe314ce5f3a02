"""What a front and an engine tell each other: facts of the engine, calls, summaries, errors; to bytes and back.

Deadlines travel as they are: CLOCK_MONOTONIC is the same in all processes of a machine.
"""

import json
import struct
from dataclasses import asdict, dataclass
from typing import Any, cast

from qdts.errors import (
    Cancelled,
    DeadlineExceeded,
    Draining,
    Loading,
    Overloaded,
    QdtsError,
    QueueFull,
    Unavailable,
)
from qdts.models.document import Span, Summary, SummarySentence
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service.request import Priority
from qdts.service.scheduler import Generated

# Deadline, tokens to read, priority, whether text is wanted on the way; the prompt follows
_CALL = struct.Struct("<dQBB")
_ERRORS: dict[str, type[QdtsError]] = {
    kind.__name__: kind for kind in (Cancelled, DeadlineExceeded, Draining, Loading, Overloaded, QueueFull, Unavailable)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What does not change while an engine runs. `step_ms` of 1, 2 and so on sequences; empty: not measured."""

    version: str
    info: RuntimeInfo
    num_places: int
    max_queue: int
    step_ms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A prompt, packed, and how it is wanted."""

    prompt: bytes | memoryview
    deadline_at: float
    priority: Priority
    num_tokens: int
    wants_text: bool


def pack_call(call: Call) -> bytes:
    """For unpack_call."""
    head = _CALL.pack(call.deadline_at, call.num_tokens, call.priority, call.wants_text)
    return b"".join((head, call.prompt))


def unpack_call(data: bytes) -> Call:
    """ValueError where it is none."""
    if len(data) < _CALL.size:
        raise ValueError(f"a call of {len(data)} bytes")
    deadline_at, num_tokens, priority, wants_text = _CALL.unpack_from(data)
    return Call(
        prompt=memoryview(data)[_CALL.size :],
        deadline_at=deadline_at,
        priority=Priority(priority),
        num_tokens=num_tokens,
        wants_text=bool(wants_text),
    )


def pack_facts(facts: EngineFacts) -> bytes:
    """For unpack_facts."""
    return json.dumps(asdict(facts)).encode()


def unpack_facts(data: bytes) -> EngineFacts:
    """From an engine, which is trusted to send some."""
    values = cast("dict[str, Any]", json.loads(data))
    info, step_ms = RuntimeInfo(**values.pop("info")), tuple(values.pop("step_ms"))
    return EngineFacts(info=info, step_ms=step_ms, **values)


def pack_generated(generated: Generated) -> bytes:
    """For unpack_generated."""
    summary = generated.summary
    sentences = [
        (sentence.text, None if (span := sentence.source) is None else (span.start, span.end))
        for sentence in summary.sentences
    ]
    counts = (summary.num_input_tokens, summary.num_output_tokens, summary.num_steps)
    times = (generated.queue_ms, generated.encode_ms, generated.decode_ms)
    return json.dumps((sentences, summary.coverage, counts, times)).encode()


def unpack_generated(data: bytes) -> Generated:
    """From an engine, which is trusted to send one."""
    sentences, coverage, counts, times = json.loads(data)
    summary = Summary(
        sentences=tuple(
            SummarySentence(text=text, source=None if source is None else Span(*source)) for text, source in sentences
        ),
        coverage=coverage,
        num_input_tokens=counts[0],
        num_output_tokens=counts[1],
        num_steps=counts[2],
    )
    return Generated(summary=summary, queue_ms=times[0], encode_ms=times[1], decode_ms=times[2])


def pack_error(error: QdtsError) -> bytes:
    """For unpack_error. What a front has no use for becomes Unavailable."""
    retry_after_s = error.retry_after_s if isinstance(error, Overloaded) else None
    return json.dumps((type(error).__name__, str(error), retry_after_s)).encode()


def unpack_error(data: bytes) -> QdtsError:
    """From an engine, which is trusted to send one."""
    name, message, retry_after_s = cast("tuple[str, str, float | None]", json.loads(data))
    error = _ERRORS.get(name, Unavailable)(message)
    if isinstance(error, Overloaded) and retry_after_s is not None:
        error.retry_after_s = retry_after_s
    return error
