"""A prompt as bytes, for a process that has the model, and back: plain numbers, nothing that could run code.

header | encoder ids, prefix | features | sentences: spans, lengths | their tokens: ids, starts, ends | text, UTF-8

Little-endian, 4 bytes a number. Ids are those of one tokenizer: both sides must have loaded the same model.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qdts.models.document import Span
from qdts.models.prompt import Prompt, SourceSentence

# Mark, words, coverage; how many encoder ids, features of each, prefix ids, sentences, tokens of them, bytes of text
_HEADER = struct.Struct("<4sidIIIIII")
_MARK = b"qp1\n"
_MAX_WORDS = (1 << 31) - 1


def pack_prompt(prompt: Prompt) -> bytes:
    """The prompt, for unpack_prompt."""
    text = prompt.text.encode("utf-8", "surrogatepass")
    sentences = prompt.sentences
    num_tokens = sum(len(sentence.ids) for sentence in sentences)
    spans = [bound for sentence in sentences for bound in (sentence.span.start, sentence.span.end)]
    return b"".join(
        [
            _HEADER.pack(
                _MARK,
                min(prompt.max_words, _MAX_WORDS),
                prompt.coverage,
                len(prompt.encoder_ids),
                prompt.features.shape[1],
                len(prompt.prefix),
                len(sentences),
                num_tokens,
                len(text),
            ),
            _ints([prompt.encoder_ids, prompt.prefix]),
            np.ascontiguousarray(prompt.features, "<f4").tobytes(),
            np.array([*spans, *(len(sentence.ids) for sentence in sentences)], "<i4").tobytes(),
            _ints([sentence.ids for sentence in sentences]),
            _ints([sentence.starts for sentence in sentences]),
            _ints([sentence.ends for sentence in sentences]),
            text,
        ]
    )


def unpack_prompt(data: bytes) -> Prompt:
    """What pack_prompt was given. ValueError where the bytes are not of it; ids are not held against a vocabulary."""
    if len(data) < _HEADER.size:
        raise ValueError(f"a prompt of {len(data)} bytes has no header")
    mark, max_words, coverage, num_ids, width, num_prefix, num_sentences, num_tokens, num_text = _HEADER.unpack_from(
        data
    )
    numbers = num_ids * (1 + width) + num_prefix + 3 * num_sentences + 3 * num_tokens
    if mark != _MARK or len(data) != _HEADER.size + 4 * numbers + num_text:
        raise ValueError(f"{len(data)} bytes are no prompt")
    reader = _Reader(data)
    encoder_ids, prefix = reader.ints(num_ids), reader.ints(num_prefix)
    features = reader.floats(num_ids * width).reshape(num_ids, width)
    spans, lengths = reader.ints(2 * num_sentences), reader.ints(num_sentences)
    if (lengths < 0).any() or int(lengths.sum()) != num_tokens:
        raise ValueError("a prompt's sentences have other lengths than their tokens")
    ids, starts, ends = (reader.ints(num_tokens) for _ in range(3))
    bounds = [0, *np.cumsum(lengths).tolist()]
    places = spans.tolist()
    sentences = tuple(
        SourceSentence(
            span=Span(places[2 * index], places[2 * index + 1]),
            ids=ids[begin:end],
            starts=starts[begin:end],
            ends=ends[begin:end],
        )
        for index, (begin, end) in enumerate(zip(bounds[:-1], bounds[1:], strict=True))
    )
    return Prompt(
        encoder_ids=encoder_ids,
        features=features,
        prefix=prefix,
        sentences=sentences,
        text=data[len(data) - num_text :].decode("utf-8", "surrogatepass"),
        max_words=max_words,
        coverage=coverage,
    )


def _ints(arrays: Sequence[npt.NDArray[Any]]) -> bytes:
    return np.concatenate(arrays).astype("<i4").tobytes() if arrays else b""


class _Reader:
    """Numbers one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = _HEADER.size

    def ints(self, count: int) -> npt.NDArray[np.int64]:
        return self._take("<i4", count).astype(np.int64)

    def floats(self, count: int) -> npt.NDArray[np.float32]:
        return self._take("<f4", count).astype(np.float32)

    def _take(self, dtype: str, count: int) -> npt.NDArray[Any]:
        values = np.frombuffer(self._data, dtype, count, self._at)
        self._at += 4 * count
        return values
