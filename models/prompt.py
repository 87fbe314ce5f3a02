"""What the net gets to read for one request: encoder ids, interaction features, the decoder's prefix.

encoder, joint    <q> query <t> title <doc> <s0> sentence <s1> sentence ... </s>
encoder, indexed            <t> title <doc> <s0> sentence <s1> sentence ... </s>
decoder           <pad> <q> query <hint> <s4> <s0> <s2> <doc>
summary                                                        <s4> text [<s7> text] </s>

The markers let one token choose a sentence; the hints name the best-ranked ones. Pure text work, safe in any
thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from qdts.models.document import Document
from qdts.models.interaction import (
    NUM_SENTENCE_FEATURES,
    NUM_TEXT_FEATURES,
    QueryView,
    SentenceView,
    sentence_features,
    token_features,
)
from qdts.models.lexicon import Lexicon
from qdts.models.read_document import ReadDocument, ReadDocuments, ReadSentence
from qdts.models.runtimes.base import Floats, Ids
from qdts.models.source_sentence import SourceSentence
from qdts.models.text.passages import select_passages
from qdts.models.text.words import STOPWORDS, content_stems
from qdts.models.tokenizer import (
    DOCUMENT,
    END,
    HINT,
    NUM_MARKERS,
    PAD,
    QUERY,
    TITLE,
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
    # Documents of so many code points together are kept as they were read, for the next query; memory holds about
    # thirty times as many bytes. 0: none.
    max_kept_chars: int = 1_000_000

    def __post_init__(self) -> None:
        if self.max_input_tokens < self.max_query_tokens + self.max_title_tokens + 64:
            raise ValueError(f"max_input_tokens must leave 64 for the document, is {self.max_input_tokens}")
        if not 0 <= self.num_hints <= NUM_MARKERS:
            raise ValueError(f"num_hints must lie in [0, {NUM_MARKERS}], is {self.num_hints}")
        if self.max_kept_chars < 0:
            raise ValueError(f"max_kept_chars must be at least 0, is {self.max_kept_chars}")


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
        self._documents = ReadDocuments(
            tokenizer, lexicon, max_chars=config.max_scanned_chars, max_kept_chars=config.max_kept_chars
        )

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
        read = self._documents.read(document)
        query_ids, view = self._read_query(query)
        head = self._head(query_ids if mode == "joint" else None, read.title_ids)
        scores = read.scores(content_stems(query))
        room = self._config.max_input_tokens - len(head) - 1
        chosen = self._choose(read, scores, room=room, passages_only=passages_only)
        views = [_view(sentence, scores[i], read.num_held(i, view.stems)) for i, sentence in chosen.items()]
        by_sentence = sentence_features(view, views, self._lexicon)  # (N, 7)
        sources = tuple(sentence.source for sentence in chosen.values())
        return Prompt(
            encoder_ids=_encoder_ids(head, sources),
            features=self._features(len(head), view, views, by_sentence),
            prefix=_prefix(query_ids, _best(by_sentence, self._config.num_hints)),
            sentences=sources,
            text=read.text,
            max_words=max_words,
            coverage=_num_read(sources) / read.num_chars,
        )

    def _read_query(self, query: str) -> tuple[Ids, QueryView]:
        """Its ids, and what the features go by: the words that carry meaning."""
        words = [word for word in query.split() if word.strip("?!.,;:\"'").casefold() not in STOPWORDS]
        whole, content = self._tokenizer.encode_pieces([query, " ".join(words) or query])
        most = self._config.max_query_tokens
        return whole.ids[:most], QueryView(ids=content.ids[:most], stems=frozenset(content_stems(query)))

    def _head(self, query_ids: Ids | None, title_ids: Ids) -> list[int]:
        """What stands before the first sentence."""
        title_ids = title_ids[: self._config.max_title_tokens]
        head = [QUERY, *query_ids.tolist()] if query_ids is not None else []
        head += [TITLE, *title_ids.tolist()] if len(title_ids) else []
        return [*head, DOCUMENT]

    def _choose(
        self, read: ReadDocument, scores: Sequence[float], *, room: int, passages_only: bool
    ) -> dict[int, ReadSentence]:
        """The sentences to read by their index, in document order."""
        share = self._config.passages_share if passages_only else 1.0
        chosen = select_passages(read.spans, scores, max_tokens=int(room * share), max_sentences=NUM_MARKERS)
        longest = min(self._config.max_sentence_tokens, room - 1)
        sentences = [sentence.cut(longest, self._lexicon) for sentence in read.sentences(chosen)]
        kept = _fitting(sentences, [scores[i] for i in chosen], room)
        return {chosen[k]: sentences[k] for k in kept}

    def _features(self, head_len: int, query: QueryView, views: Sequence[SentenceView], by_sentence: Floats) -> Floats:
        lengths = [1 + len(view.ids) for view in views]
        features = np.zeros((head_len + sum(lengths) + 1, NUM_TEXT_FEATURES), np.float32)  # (S, F)
        features[head_len:-1, :NUM_SENTENCE_FEATURES] = np.repeat(by_sentence, lengths, axis=0)
        features[head_len:-1, NUM_SENTENCE_FEATURES:] = token_features(query, views, self._lexicon)
        return features


def _fitting(sentences: Sequence[ReadSentence], scores: Sequence[float], room: int) -> list[int]:
    """Which sentences fit in `room` tokens: nearly always all, but the estimate that chose them can be short.

    The first sentence goes first and then the best, so that what is left off is what matters least.
    """
    kept: list[int] = []
    for index in sorted(range(len(sentences)), key=lambda i: (i > 0, -scores[i], i)):
        cost = 1 + len(sentences[index].source.ids)
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


def _view(sentence: ReadSentence, score: float, num_held: int) -> SentenceView:
    return SentenceView(
        ids=sentence.source.ids,
        token_stems=sentence.token_stems,
        vector=sentence.vector,
        bm25=score,
        num_held=num_held,
    )


def _num_read(sources: Sequence[SourceSentence]) -> int:
    """Code points of what is read."""
    return sum(int(source.ends[-1]) - source.span.start for source in sources)
