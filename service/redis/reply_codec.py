"""Entries <-> bytes: JSON, deflated where that makes them shorter. Knows nothing of Redis."""

import json
import zlib
from collections.abc import Callable
from time import time
from typing import Any

from qdts.models.document import Span, Summary, SummarySentence
from qdts.service.cache import Entry
from qdts.service.redis.seal import Seal
from qdts.service.reply import Reply, Rung

# Raise it with any change of what is written: old values are then misses.
SCHEMA = b"qr1"
_PLAIN, _DEFLATED = b"j", b"z"
# Below it deflating saves nothing.
_MIN_DEFLATED = 256


class ReplyCodec:
    """Writes and reads entries. Ages are by the machines' clocks of the day, `clock`."""

    def __init__(self, secret: bytes, *, max_bytes: int, clock: Callable[[], float] = time) -> None:
        self._seal = Seal(secret, schema=SCHEMA)
        self._max_bytes = max_bytes
        self._clock = clock

    def encode(self, name: str, entry: Entry) -> bytes | None:
        """The value for `name`; None if it is too large."""
        made_at = self._clock() - entry.age_s
        table = {"at": made_at, "fresh": entry.fresh_s, "reply": _write(entry.reply)}
        body = _shortest(json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode())
        value = self._seal.close(name, body)
        return value if len(value) <= self._max_bytes else None

    def decode(self, name: str, value: bytes) -> Entry | None:
        """The entry; None if the value is not one of ours, whole and under its own name."""
        body = self._seal.open(name, value) if len(value) <= self._max_bytes else None
        if body is None:
            return None
        text = zlib.decompress(body[1:]) if body[:1] == _DEFLATED else body[1:]
        table: dict[str, Any] = json.loads(text)
        age_s = max(0.0, self._clock() - table["at"])  # clocks may disagree
        return Entry(reply=_read(table["reply"]), fresh_s=table["fresh"], age_s=age_s)


def _shortest(text: bytes) -> bytes:
    deflated = zlib.compress(text, 1) if len(text) >= _MIN_DEFLATED else text
    return _DEFLATED + deflated if len(deflated) < len(text) else _PLAIN + text


def _write(reply: Reply | None) -> dict[str, Any] | None:
    """What of a reply outlives the call: not its timings."""
    if reply is None:
        return None
    assert not reply.reasons, "a degraded reply is never kept"
    summary = reply.summary
    return {
        "sentences": [[sentence.text, _ends(sentence.source)] for sentence in summary.sentences],
        "coverage": summary.coverage,
        "tokens": [summary.num_input_tokens, summary.num_output_tokens, summary.num_steps],
        "rung": int(reply.origin_rung),
        "model": reply.model_version,
    }


def _ends(span: Span | None) -> tuple[int, int] | None:
    return None if span is None else (span.start, span.end)


def _read(table: dict[str, Any] | None) -> Reply | None:
    if table is None:
        return None
    num_input, num_output, num_steps = table["tokens"]
    summary = Summary(
        sentences=tuple(SummarySentence(text=text, source=span and Span(*span)) for text, span in table["sentences"]),
        coverage=table["coverage"],
        num_input_tokens=num_input,
        num_output_tokens=num_output,
        num_steps=num_steps,
    )
    rung = Rung(table["rung"])
    return Reply(summary=summary, rung=rung, origin_rung=rung, model_version=table["model"])
