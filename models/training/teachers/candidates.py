"""What can be proposed as a summary: sentences, neighbours, and the clauses that the copy constraint can cut.

Spans of a document; knows no query, no score and no tokenizer.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from qdts.models.decoding.copying import MIN_PIECE_WORDS as _MIN
from qdts.models.document import Span
from qdts.models.source_sentence import ends_clause
from qdts.models.text.words import word_starts

MAX_MARKS = 24


def neighbourhoods(sentences: Sequence[Span], best: Iterable[int], max_sentences: int) -> list[Span]:
    """Each of the `best` sentences alone, then every run of up to `max_sentences` that holds one, without repeats."""
    runs: dict[Span, None] = {}
    places = list(best)
    for length in range(1, max_sentences + 1):
        for place in places:
            for first in range(max(0, place - length + 1), min(place, len(sentences) - length) + 1):
                runs[Span(sentences[first].start, sentences[first + length - 1].end)] = None
    return list(runs)


def clause_spans(document: str, sentence: Span) -> list[Span]:
    """The pieces of a sentence that the copy constraint can write (CopySentence.begins and may_end), the whole first.

    A piece begins at the sentence's beginning or after a clause mark that leaves enough words, and ends at its end
    or at a clause mark with enough words before it. A sentence of more than `MAX_MARKS` marks is a list or no prose
    at all: of it only the beginnings are taken, for the pieces would be too many.
    """
    text = sentence.of(document)
    words = word_starts(text)
    ends = [at for at in range(1, len(text)) if ends_clause(text, at)]
    inner_begins = () if len(ends) > MAX_MARKS else ends
    begins = [at for at in (_skip_space(text, end) for end in inner_begins) if _num_words(words, at, len(text)) >= _MIN]
    pieces = [Span(0, len(text))]
    for begin in (0, *begins):
        inner = [end for end in ends if begin < end and _num_words(words, begin, end) >= _MIN]
        pieces += [Span(begin, end) for end in (*inner, len(text))]
    return [Span(sentence.start + p.start, sentence.start + p.end) for p in dict.fromkeys(pieces)]


def _skip_space(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip())


def _num_words(words: Sequence[int], begin: int, end: int) -> int:
    """How many of the words, which are where they begin, begin in [begin, end)."""
    return bisect_left(words, end) - bisect_left(words, begin)
