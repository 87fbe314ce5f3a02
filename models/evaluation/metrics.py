"""Measures of one summary against its references, answers and document. Text in, numbers out.

ROUGE is Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", as F1 over lower-case
[a-z0-9]+ tokens without stemming: the same numbers as the package rouge-score with use_stemmer=False.
A measure that does not apply to a row (no known answer, no text) is absent, never zero.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qdts.models.evaluation.rows import EvalRow

ROUGE_1 = "rouge_1"
ROUGE_2 = "rouge_2"
ROUGE_L = "rouge_l"
ANSWER_CONTAINED = "answer_contained"
WORDS = "words"
COPIED_4GRAMS = "copied_4grams"
SEMANTIC_REFERENCE = "semantic_reference"
SEMANTIC_QUERY = "semantic_query"

Measures = dict[str, float]

_TOKEN = re.compile(r"[a-z0-9]+")
_WORD = re.compile(r"\w+")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_COPY_LEN = 4


@dataclass(frozen=True, slots=True)
class Rouge:
    """F1 of unigrams, bigrams and the longest common subsequence."""

    rouge_1: float
    rouge_2: float
    rouge_l: float


def measure(sentences: Sequence[str], row: EvalRow) -> Measures:
    """Every measure of one summary that needs no model. Several references: the best of each ROUGE."""
    text = " ".join(sentences)
    rouges = [rouge(text, reference) for reference in row.references]
    measures = {
        ROUGE_1: max(score.rouge_1 for score in rouges),
        ROUGE_2: max(score.rouge_2 for score in rouges),
        ROUGE_L: max(score.rouge_l for score in rouges),
        WORDS: float(len(text.split())),
    }
    if row.answers:
        measures[ANSWER_CONTAINED] = float(contains_answer(text, row.answers))
    copied = copied_share(sentences, row.document)
    if copied is not None:
        measures[COPIED_4GRAMS] = copied
    return measures


def rouge(text: str, reference: str) -> Rouge:
    """ROUGE-1, -2 and -L F1 of `text` against one reference."""
    ours, theirs = _TOKEN.findall(text.lower()), _TOKEN.findall(reference.lower())
    return Rouge(
        rouge_1=_ngram_f1(ours, theirs, 1),
        rouge_2=_ngram_f1(ours, theirs, 2),
        rouge_l=_f1(common_subsequence_len(ours, theirs), len(ours), len(theirs)),
    )


def common_subsequence_len(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, one machine word (here: one int) per row of the table.

    Hyyrö 2004, "Bit-parallel LCS-length computation revisited": a zero bit marks a step of the row.
    """
    places: dict[str, int] = {}
    for place, token in enumerate(first):
        places[token] = places.get(token, 0) | 1 << place
    full = (1 << len(first)) - 1
    row = full
    for token in second:
        matches = row & places.get(token, 0)
        row = (row + matches) | (row - matches)
    return len(first) - (row & full).bit_count()


def contains_answer(text: str, answers: Sequence[str]) -> bool:
    """True if any answer stands in `text` as whole words, both normalised as SQuAD does."""
    padded = f" {normalise_answer(text)} "
    normalised = (normalise_answer(answer) for answer in answers)
    return any(f" {answer} " in padded for answer in normalised if answer)


def normalise_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and articles, white space collapsed (Rajpurkar et al. 2016)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def copied_share(sentences: Sequence[str], document: str) -> float | None:
    """Share of word 4-grams, within each sentence, that stand in the document; None without any word.

    A sentence of fewer than four words counts as one piece.
    """
    source = _WORD.findall(document.lower())
    grams = [gram for sentence in sentences for gram in _pieces(_WORD.findall(sentence.lower()))]
    if not grams:
        return None
    known = {length: set(_ngrams(source, length)) for length in {len(gram) for gram in grams}}
    return sum(gram in known[len(gram)] for gram in grams) / len(grams)


def _pieces(words: list[str]) -> list[tuple[str, ...]]:
    return _ngrams(words, min(_COPY_LEN, len(words))) if words else []


def _ngrams(tokens: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[start : start + length]) for start in range(len(tokens) - length + 1)]


def _ngram_f1(ours: Sequence[str], theirs: Sequence[str], length: int) -> float:
    our_grams, their_grams = Counter(_ngrams(ours, length)), Counter(_ngrams(theirs, length))
    return _f1((our_grams & their_grams).total(), our_grams.total(), their_grams.total())


def _f1(num_common: int, num_ours: int, num_theirs: int) -> float:
    return 2 * num_common / (num_ours + num_theirs) if num_common else 0.0
