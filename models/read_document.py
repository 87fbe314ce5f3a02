"""A document as prompts need it, whatever is asked of it: sentences, words, ids, vectors. Read once, kept for a while.

Search engines ask many queries of the same documents. What depends on the document alone is most of the text work of a
prompt, so the documents that came last are kept as they were read. Safe between threads.
"""

import threading
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from qdts.models.document import Document, Span
from qdts.models.lexicon import Lexicon
from qdts.models.runtimes.base import Floats
from qdts.models.source_sentence import SourceSentence, read_source
from qdts.models.text.bm25 import score_bags
from qdts.models.text.sentences import split_sentences
from qdts.models.text.words import Word, split_words
from qdts.models.tokenizer import Tokenizer

# Of documents up to here, in code points, words are remembered until their sentences have been tokenised.
_MAX_REMEMBERED = 8_000


@dataclass(frozen=True, slots=True)
class ReadSentence:
    """A sentence with the stem of each token's word, "" for punctuation, and the tokens' mean vector (D,)."""

    source: SourceSentence
    token_stems: Sequence[str]
    vector: Floats

    def cut(self, num_tokens: int, lexicon: Lexicon) -> "ReadSentence":
        """Its first tokens, at most so many."""
        if len(self.source.ids) <= num_tokens:
            return self
        source = self.source.cut(num_tokens)
        return ReadSentence(source, self.token_stems[:num_tokens], lexicon.mean_vector(source.ids))


class ReadDocument:
    """One document, read up to `max_chars`; sentences are tokenised when they are first wanted."""

    def __init__(self, document: Document, tokenizer: Tokenizer, lexicon: Lexicon, *, max_chars: int) -> None:
        self._tokenizer, self._lexicon = tokenizer, lexicon
        self.text = _scanned(document.text, max_chars)
        self.spans = split_sentences(self.text, document.language)
        assert self.spans, "a blank document says nothing"
        self.title_ids = tokenizer.encode(document.title)
        self.num_chars = _num_chars(document.text, self.spans)
        self._words: dict[int, list[Word]] = {}
        self._bags = [self._bag(index) for index in range(len(self.spans))]
        self._sentences: dict[int, ReadSentence] = {}

    def scores(self, query_stems: Sequence[str]) -> list[float]:
        """BM25 of each sentence."""
        return score_bags(query_stems, self._bags)

    def num_held(self, index: int, query_stems: frozenset[str]) -> int:
        """How many of these stems stand in a sentence."""
        return len(query_stems & self._bags[index].keys())

    def sentences(self, indices: Sequence[int]) -> list[ReadSentence]:
        """Those at `indices`, tokenised."""
        missing = [index for index in indices if index not in self._sentences]
        pieces = self._tokenizer.encode_pieces([self.spans[index].of(self.text) for index in missing])
        for index, piece in zip(missing, pieces, strict=True):
            source = read_source(self.spans[index], piece, self.text)
            words = self._words.pop(index, None) or split_words(self.spans[index].of(self.text))
            stems = _token_stems(source, words)
            self._sentences[index] = ReadSentence(source, stems, self._lexicon.mean_vector(source.ids))
        return [self._sentences[index] for index in indices]

    def _bag(self, index: int) -> Counter[str]:
        words = split_words(self.spans[index].of(self.text))
        if len(self.text) <= _MAX_REMEMBERED:
            self._words[index] = words
        return Counter(word.stem for word in words)


class ReadDocuments:
    """The documents that were read last, of so many code points together."""

    def __init__(self, tokenizer: Tokenizer, lexicon: Lexicon, *, max_chars: int, max_kept_chars: int) -> None:
        self._tokenizer, self._lexicon = tokenizer, lexicon
        self._max_chars, self._max_kept_chars = max_chars, max_kept_chars
        self._kept: OrderedDict[Document, ReadDocument] = OrderedDict()
        self._changing = threading.Lock()
        self._num_chars = 0

    def read(self, document: Document) -> ReadDocument:
        """The document, read now or before."""
        with self._changing:
            if (kept := self._kept.get(document)) is not None:
                self._kept.move_to_end(document)
                return kept
        # Outside of the lock: two threads may read the same one, which is only wasteful
        read = ReadDocument(document, self._tokenizer, self._lexicon, max_chars=self._max_chars)
        with self._changing:
            self._keep(document, read)
        return read

    def _keep(self, document: Document, read: ReadDocument) -> None:
        if document in self._kept or len(document.text) > self._max_kept_chars:
            return
        self._kept[document] = read
        self._num_chars += len(document.text)
        while self._num_chars > self._max_kept_chars:
            oldest, _ = self._kept.popitem(last=False)
            self._num_chars -= len(oldest.text)


def _scanned(text: str, max_chars: int) -> str:
    """The beginning of `text`. White space at its head is not counted, so something is always read."""
    return text[: len(text) - len(text.lstrip()) + max_chars]


def _num_chars(text: str, spans: Sequence[Span]) -> int:
    """The whole text's code points, white space around sentences left aside."""
    between = spans[-1].end - spans[0].start - sum(len(span) for span in spans)
    return len(text.strip()) - between


def _token_stems(source: SourceSentence, words: Sequence[Word]) -> tuple[str, ...]:
    """For each token the stem of the word it ends in. `words` are the sentence's."""
    starts = [word.start for word in words]
    stems: list[str] = []
    for end in (source.ends - source.span.start).tolist():
        place = bisect_right(starts, end - 1) - 1
        stems.append(words[place].stem if place >= 0 and words[place].end >= end else "")
    return tuple(stems)
