"""What the net gets to read for one request: encoder ids, interaction features, the decoder's prefix.

encoder, joint    <q> query <t> title <doc> <s0> sentence <s1> sentence ... </s>
encoder, indexed            <t> title <doc> <s0> sentence <s1> sentence ... </s>
decoder           <pad> <q> query <hint> <s4> <s0> <s2> <doc>
summary                                                        <s4> text [<s7> text] </s>

The markers let one token choose a sentence; the hints name the best-ranked ones. Pure text work, safe in any
thread.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from qdts.models.document import Document, Span
from qdts.models.interaction import NUM_TEXT_FEATURES, QueryView, SentenceView, sentence_features, token_features
from qdts.models.lexicon import Lexicon
from qdts.models.runtimes.base import Floats, Ids
from qdts.models.text.bm25 import score_sentences
from qdts.models.text.passages import select_passages
from qdts.models.text.sentences import split_sentences
from qdts.models.text.words import STOPWORDS, Word, content_stems, split_words
from qdts.models.tokenizer import (
    DOCUMENT,
    END,
    HINT,
    NUM_MARKERS,
    PAD,
    QUERY,
    TITLE,
    Pieces,
    Tokenizer,
    marker,
)

Mode = Literal["joint", "indexed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptConfig:
    """Bounds, in tokens unless named otherwise."""

    max_input_tokens: int = 512
    max_query_tokens: int = 48
    max_title_tokens: int = 24
    max_sentence_tokens: int = 160
    # Best-ranked sentences named in the decoder's prefix; 0: none.
    num_hints: int = 3
    # A longer document is read up to here; `coverage` in the reply says so.
    max_scanned_chars: int = 400_000
    # The share of `max_input_tokens` that the passages-only rung reads.
    passages_share: float = 0.4

    def __post_init__(self) -> None:
        if self.max_input_tokens < self.max_query_tokens + self.max_title_tokens + 64:
            raise ValueError(f"max_input_tokens must leave 64 for the document, is {self.max_input_tokens}")
        if not 0 <= self.num_hints <= NUM_MARKERS:
            raise ValueError(f"num_hints must lie in [0, {NUM_MARKERS}], is {self.num_hints}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSentence:
    """One sentence the decoder may quote: ids (T,) and the document's code points [starts, ends) of each."""

    span: Span
    ids: Ids
    starts: Ids
    ends: Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Everything one generation needs. `features` (S, F) lie beside `encoder_ids` (S,)."""

    encoder_ids: Ids
    features: Floats
    prefix: Ids
    sentences: tuple[SourceSentence, ...]
    text: str
    max_words: int
    coverage: float

    @property
    def query_ids(self) -> Ids:
        """<q> and the query (Q,): what the encoder reads of it where it is encoded alone."""
        return query_of(self.prefix)


class PromptBuilder:
    """Builds prompts with one tokenizer and lexicon."""

    def __init__(self, tokenizer: Tokenizer, lexicon: Lexicon, config: PromptConfig) -> None:
        self._tokenizer = tokenizer
        self._lexicon = lexicon
        self._config = config

    @classmethod
    def load(cls, path: Path, config: PromptConfig) -> Self:
        """From a model directory, which the caller has verified (models/manifest.py).

        WeightsError, KeyError, ValueError or SafetensorError where a file is not what it should be.
        """
        return cls(Tokenizer.load(path / "tokenizer.json"), Lexicon.load(path / "lexicon.safetensors"), config)

    def build(
        self,
        query: str,
        document: Document,
        *,
        max_words: int,
        mode: Mode = "joint",
        passages_only: bool = False,
    ) -> Prompt:
        """Cut, score and select sentences, then lay them out. Never fails on a document that is not blank."""
        text = _scanned(document.text, self._config.max_scanned_chars)
        spans = split_sentences(text, document.language)
        assert spans, "a blank document says nothing"
        scores = score_sentences(query, text, spans)
        query_ids = self._tokenizer.encode(query)[: self._config.max_query_tokens]
        head = self._head(query_ids if mode == "joint" else None, document.title)
        room = self._config.max_input_tokens - len(head) - 1
        sources, scores = self._read(text, spans, scores, room=room, passages_only=passages_only)
        query_view = self._query_view(query)
        views = [_view(source, text, score) for source, score in zip(sources, scores, strict=True)]
        by_sentence = sentence_features(query_view, views, self._lexicon)  # (N, 7)
        return Prompt(
            encoder_ids=_encoder_ids(head, sources),
            features=self._features(len(head), query_view, views, by_sentence),
            prefix=_prefix(query_ids, _best(by_sentence, self._config.num_hints)),
            sentences=tuple(sources),
            text=text,
            max_words=max_words,
            coverage=_coverage(document.text, spans, sources),
        )

    def _head(self, query_ids: Ids | None, title: str) -> list[int]:
        """What stands before the first sentence."""
        title_ids = self._tokenizer.encode(title)[: self._config.max_title_tokens]
        head = [QUERY, *query_ids.tolist()] if query_ids is not None else []
        head += [TITLE, *title_ids.tolist()] if len(title_ids) else []
        return [*head, DOCUMENT]

    def _query_view(self, query: str) -> QueryView:
        words = [word for word in query.split() if word.strip("?!.,;:\"'").casefold() not in STOPWORDS]
        ids = self._tokenizer.encode(" ".join(words) or query)[: self._config.max_query_tokens]
        return QueryView(ids=ids, stems=frozenset(content_stems(query)))

    def _read(
        self, text: str, spans: Sequence[Span], scores: Sequence[float], *, room: int, passages_only: bool
    ) -> tuple[list[SourceSentence], list[float]]:
        """The sentences to read, tokenised, in document order; and their scores."""
        share = self._config.passages_share if passages_only else 1.0
        chosen = select_passages(spans, scores, max_tokens=int(room * share), max_sentences=NUM_MARKERS)
        pieces = self._tokenizer.encode_pieces([spans[i].of(text) for i in chosen])
        longest = min(self._config.max_sentence_tokens, room - 1)
        sources = [_source(spans[i], piece, longest) for i, piece in zip(chosen, pieces, strict=True)]
        kept = _fitting(sources, [scores[i] for i in chosen], room)
        return [sources[k] for k in kept], [scores[chosen[k]] for k in kept]

    def _features(self, head_len: int, query: QueryView, views: Sequence[SentenceView], by_sentence: Floats) -> Floats:
        blocks = [np.zeros((head_len, NUM_TEXT_FEATURES), np.float32)]
        for view, row in zip(views, by_sentence, strict=True):
            by_token = token_features(query, view, self._lexicon)  # (1 + T, 3)
            blocks.append(np.concatenate([np.tile(row, (len(by_token), 1)), by_token], axis=1))
        blocks.append(np.zeros((1, NUM_TEXT_FEATURES), np.float32))
        return np.concatenate(blocks)  # (S, F)


def _scanned(text: str, max_chars: int) -> str:
    """The beginning of `text`. White space at its head is not counted, so something is always read."""
    return text[: len(text) - len(text.lstrip()) + max_chars]


def _fitting(sources: Sequence[SourceSentence], scores: Sequence[float], room: int) -> list[int]:
    """Which sources fit in `room` tokens: nearly always all, but the estimate that chose them can be short.

    The first sentence goes first and then the best, so that what is left off is what matters least.
    """
    kept: list[int] = []
    for index in sorted(range(len(sources)), key=lambda i: (i > 0, -scores[i], i)):
        cost = 1 + len(sources[index].ids)
        if cost <= room:
            kept.append(index)
            room -= cost
    return sorted(kept)


def _encoder_ids(head: list[int], sources: Sequence[SourceSentence]) -> Ids:
    ids = list(head)
    for index, source in enumerate(sources):
        ids += [marker(index), *source.ids.tolist()]
    return np.array([*ids, END], np.int64)


def _prefix(query_ids: Ids, hints: Sequence[int]) -> Ids:
    return np.array([PAD, QUERY, *query_ids.tolist(), HINT, *(marker(i) for i in hints), DOCUMENT], np.int64)


def query_of(prefix: npt.NDArray[Any]) -> Ids:
    """<q> and the query (Q,) out of a decoder's prefix."""
    return prefix[1 : int(np.flatnonzero(prefix == HINT)[0])].astype(np.int64)


def _best(by_sentence: Floats, num_hints: int) -> list[int]:
    """Sentences in the order of column 5, the reciprocal rank."""
    return np.argsort(-by_sentence[:, 5], kind="stable")[:num_hints].tolist()


def _source(span: Span, pieces: Pieces, allowed: int) -> SourceSentence:
    return SourceSentence(
        span=span,
        ids=pieces.ids[:allowed],
        starts=pieces.starts[:allowed] + span.start,
        ends=pieces.ends[:allowed] + span.start,
    )


def _view(source: SourceSentence, text: str, score: float) -> SentenceView:
    words = split_words(source.span.of(text))
    return SentenceView(
        ids=source.ids,
        token_stems=_token_stems(source, words),
        bag=Counter(word.stem for word in words),
        bm25=score,
    )


def _token_stems(source: SourceSentence, words: Sequence[Word]) -> tuple[str, ...]:
    """For each token the stem of the word it ends in, "" for punctuation. `words` are the sentence's."""
    starts = [word.start for word in words]
    stems: list[str] = []
    for end in (source.ends - source.span.start).tolist():
        place = bisect_right(starts, end - 1) - 1
        stems.append(words[place].stem if place >= 0 and words[place].end >= end else "")
    return tuple(stems)


def _coverage(text: str, spans: Sequence[Span], sources: Sequence[SourceSentence]) -> float:
    """The share of the document's code points that was read, white space around sentences left aside."""
    num_read = sum(int(source.ends[-1]) - source.span.start for source in sources)
    between = spans[-1].end - spans[0].start - sum(len(span) for span in spans)
    return num_read / (len(text.strip()) - between)
