"""Summaries made of whole sentences of the document: the extractive and lead rungs, and the baselines.

They always answer for a document that is not blank, however odd it is.
"""

from collections.abc import Sequence
from itertools import accumulate, takewhile

from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.models.text.bm25 import score_sentences
from qdts.models.text.sentences import split_sentences
from qdts.models.text.words import word_starts

# A second sentence must score at least this share of the best one's BM25 to be worth its words.
SECOND_SENTENCE_SHARE = 0.6


def extract(query: str, document: Document, *, max_words: int) -> Summary:
    """The best BM25 sentence, with further good ones while they fit in `max_words`, in document order.

    A document that shares no word with the query is answered by its lead.
    """
    sentences = split_sentences(document.text, document.language)
    scores = score_sentences(query, document.text, sentences)
    ranked = sorted(range(len(sentences)), key=lambda i: (-scores[i], i))
    good = [i for i in ranked if scores[i] > 0 and scores[i] >= SECOND_SENTENCE_SHARE * scores[ranked[0]]]
    chosen = fit([sentences[i] for i in good], document.text, max_words=max_words)
    return summary_of(document.text, sorted(chosen)) if chosen else lead(document, max_words=max_words)


def lead(document: Document, *, max_words: int) -> Summary:
    """The first sentences, as many as fit in `max_words`."""
    sentences = split_sentences(document.text, document.language)
    used = accumulate(len(word_starts(span.of(document.text))) for span in sentences)
    num_fitting = sum(1 for _ in takewhile(lambda words: words <= max_words, used))
    chosen = fit(sentences[: max(1, num_fitting)], document.text, max_words=max_words)
    return summary_of(document.text, chosen)


def fit(ranked: Sequence[Span], text: str, *, max_words: int) -> list[Span]:
    """The first span, cut to `max_words` if need be, and those after it that still fit whole."""
    chosen: list[Span] = []
    left = max_words
    for span in ranked:
        starts = word_starts(span.of(text))
        if len(starts) <= left:
            chosen.append(span)
            left -= len(starts)
        elif not chosen:
            kept = span.of(text)[: starts[max_words]].rstrip()
            return [Span(span.start, span.start + len(kept))]
        if left == 0:
            break
    return chosen


def summary_of(text: str, spans: Sequence[Span]) -> Summary:
    """A summary that quotes `spans` of a document that was read whole."""
    sentences = tuple(SummarySentence(text=quote(span, text), source=span) for span in spans)
    return Summary(sentences=sentences, coverage=1.0)


def quote(span: Span, text: str) -> str:
    """The span's text on one line: runs of white space, which a line break may be, become one space."""
    return " ".join(span.of(text).split())
