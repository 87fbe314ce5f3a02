"""Summaries made of whole sentences of the document: what the generative model has to beat.

The oracle picks with the reference in hand: it is the ceiling of one sentence, not a system.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from qdts.models.document import Span
from qdts.models.evaluation.metrics import rouge
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.semantic import Embedder
from qdts.models.text.bm25 import score_sentences
from qdts.models.text.extractive import fit, quote
from qdts.models.text.sentences import split_sentences

# One score per sentence of the row's document; the highest are taken, the earlier one on ties.
Scorer = Callable[[EvalRow, Sequence[Span]], Sequence[float]]


class Baseline(NamedTuple):
    """How sentences are scored, and how many are taken."""

    score: Scorer
    num_sentences: int


def pick_sentences(row: EvalRow, baseline: Baseline, max_words: int | None = None) -> tuple[str, ...]:
    """The best sentences in document order; with `max_words`, those that fit, the best one cut if need be."""
    text = row.document
    sentences = split_sentences(text)
    scores = baseline.score(row, sentences)
    ranked = sorted(range(len(sentences)), key=lambda place: (-scores[place], place))
    best = [sentences[place] for place in ranked[: baseline.num_sentences]]
    chosen = best if max_words is None else fit(best, text, max_words=max_words)
    return tuple(quote(span, text) for span in sorted(chosen))


def score_by_place(row: EvalRow, sentences: Sequence[Span]) -> list[float]:
    """The earlier, the better: the lead."""
    return [-float(place) for place in range(len(sentences))]


def score_by_bm25(row: EvalRow, sentences: Sequence[Span]) -> list[float]:
    """BM25 of each sentence for the query; the lead where no sentence shares a word with it."""
    return score_sentences(row.query, row.document, list(sentences))


def score_by_reference(row: EvalRow, sentences: Sequence[Span]) -> list[float]:
    """ROUGE-L of each sentence against the closest reference."""
    return [max(rouge(span.of(row.document), reference).rouge_l for reference in row.references) for span in sentences]


def score_by_embedding(embedder: Embedder) -> Scorer:
    """Cosine of each sentence's embedding with the query's."""

    def score(row: EvalRow, sentences: Sequence[Span]) -> list[float]:
        query, *vectors = embedder.embed([row.query, *(span.of(row.document) for span in sentences)])
        return [float(vector @ query) for vector in vectors]

    return score


LEXICAL_BASELINES = {
    "lead_1": Baseline(score_by_place, 1),
    "lead_2": Baseline(score_by_place, 2),
    "bm25_1": Baseline(score_by_bm25, 1),
    "bm25_2": Baseline(score_by_bm25, 2),
    "oracle_1": Baseline(score_by_reference, 1),
}
EMBEDDING_BASELINE = "minilm_1"


def embedding_baseline(embedder: Embedder) -> Baseline:
    """MiniLM-1: the sentence whose embedding is closest to the query's."""
    return Baseline(score_by_embedding(embedder), 1)
