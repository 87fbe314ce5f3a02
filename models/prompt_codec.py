"""A prompt as bytes, for a process that has the model, and back: plain numbers, nothing that could run code.

header | features | encoder ids, prefix | sentences: spans, lengths | their tokens: ids, starts, ends, words before, and
for each sentence its words | clause ends, a byte each | text, UTF-8

Little-endian, 4 bytes a number. Ids are those of one tokenizer: both sides must have loaded the same model.
"""

import struct

import numpy as np

from qdts.models.document import Span
from qdts.models.prompt import Prompt
from qdts.models.source_sentence import SourceSentence

# Mark, words, coverage; how many encoder ids, features of each, prefix ids, sentences, tokens of them, bytes of text
_HEADER = struct.Struct("<4sidIIIIII")
_MARK = b"qp1\n"
_MAX_WORDS = (1 << 31) - 1


def pack_prompt(prompt: Prompt) -> bytes:
    """The prompt, for unpack_prompt."""
    text = prompt.text.encode("utf-8", "surrogatepass")
    sentences = prompt.sentences
    lengths = [len(sentence.ids) for sentence in sentences]
    spans = [bound for sentence in sentences for bound in (sentence.span.start, sentence.span.end)]
    header = _HEADER.pack(
        _MARK,
        min(prompt.max_words, _MAX_WORDS),
        prompt.coverage,
        len(prompt.encoder_ids),
        prompt.features.shape[1],
        len(prompt.prefix),
        len(sentences),
        sum(lengths),
        len(text),
    )
    numbers = np.concatenate(
        [
            prompt.encoder_ids,
            prompt.prefix,
            np.array(spans + lengths, np.int64),
            *(sentence.ids for sentence in sentences),
            *(sentence.starts for sentence in sentences),
            *(sentence.ends for sentence in sentences),
            *(sentence.words_before for sentence in sentences),
        ]
    )
    clause_ends = b"".join(sentence.clause_ends.tobytes() for sentence in sentences)
    features = np.ascontiguousarray(prompt.features, "<f4")
    return b"".join([header, features.tobytes(), numbers.astype("<i4").tobytes(), clause_ends, text])


def unpack_prompt(data: bytes | memoryview) -> Prompt:
    """What pack_prompt was given. ValueError where the bytes are not of it; ids are not held against a vocabulary."""
    if len(data) < _HEADER.size:
        raise ValueError(f"a prompt of {len(data)} bytes has no header")
    mark, max_words, coverage, num_ids, width, num_prefix, num_sentences, num_tokens, num_text = _HEADER.unpack_from(
        data
    )
    num_floats, num_ints = num_ids * width, num_ids + num_prefix + 4 * num_sentences + 4 * num_tokens
    clauses_at = _HEADER.size + 4 * (num_floats + num_ints)
    text_at = clauses_at + num_tokens
    if mark != _MARK or len(data) != text_at + num_text:
        raise ValueError(f"{len(data)} bytes are no prompt")
    features = np.frombuffer(data, "<f4", num_floats, _HEADER.size).astype(np.float32)
    ints = np.frombuffer(data, "<i4", num_ints, _HEADER.size + 4 * num_floats).astype(np.int64)
    clause_ends = np.frombuffer(data, np.uint8, num_tokens, clauses_at) != 0
    cuts = np.cumsum([num_ids, num_prefix, 2 * num_sentences, num_sentences, num_tokens, num_tokens, num_tokens])
    encoder_ids, prefix, spans, lengths, ids, starts, ends, words_before = np.split(ints, cuts)
    if (lengths < 0).any() or int(lengths.sum()) != num_tokens:
        raise ValueError("a prompt's sentences have other lengths than their tokens")
    sentences: list[SourceSentence] = []
    places, begin = spans.tolist(), 0
    for index, length in enumerate(lengths.tolist()):
        part, span = slice(begin, begin + length), Span(places[2 * index], places[2 * index + 1])
        source = SourceSentence(
            span=span,
            ids=ids[part],
            starts=starts[part],
            ends=ends[part],
            clause_ends=clause_ends[part],
            words_before=words_before[begin + index : begin + index + length + 1],
        )
        sentences.append(source)
        begin += length
    return Prompt(
        encoder_ids=encoder_ids,
        features=features.reshape(num_ids, width),
        prefix=prefix,
        sentences=tuple(sentences),
        text=str(memoryview(data)[text_at:], "utf-8", "surrogatepass"),
        max_words=max_words,
        coverage=coverage,
    )
