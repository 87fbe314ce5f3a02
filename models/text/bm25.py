"""How well each sentence of a document matches a query: BM25 with the sentences as the collection.

score(s) = sum over query stems q of idf(q) * f(q, s) * (k1 + 1) / (f(q, s) + k1 * (1 - b + b * |s| / mean |s|)),
idf(q) = ln(1 + (N - n(q) + 0.5) / (n(q) + 0.5))    (Robertson & Zaragoza 2009, eq. 3.15; idf as in Lucene, never negative).
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from qdts.models.document import Span
from qdts.models.text.words import Word, content_stems, split_words

K1 = 1.2
B = 0.5


def score_sentences(query: str, text: str, sentences: Sequence[Span]) -> list[float]:
    """One score >= 0 per sentence; 0 where no query word stands."""
    return score_bags(content_stems(query), [bag for bag in sentence_bags(split_words(text), sentences)])


def sentence_bags(words: Sequence[Word], sentences: Sequence[Span]) -> list[Counter[str]]:
    """Stem counts per sentence. `words` are those of the whole text, in order."""
    starts = [word.start for word in words]
    bags: list[Counter[str]] = []
    for span in sentences:
        lo, hi = bisect_left(starts, span.start), bisect_left(starts, span.end)
        bags.append(Counter(word.stem for word in words[lo:hi]))
    return bags


def score_bags(query_stems: Sequence[str], bags: Sequence[Counter[str]]) -> list[float]:
    """BM25 of each bag for the query; a stem that stands twice in the query counts once."""
    wanted = dict.fromkeys(query_stems)
    lengths = [sum(bag.values()) for bag in bags]
    mean_len = max(1.0, sum(lengths) / max(1, len(lengths)))
    weights = {stem: _idf(sum(stem in bag for bag in bags), len(bags)) for stem in wanted}
    return [_score(bag, weights, length / mean_len) for bag, length in zip(bags, lengths, strict=True)]


def _idf(num_with: int, num_bags: int) -> float:
    return math.log(1 + (num_bags - num_with + 0.5) / (num_with + 0.5))


def _score(bag: Counter[str], weights: dict[str, float], relative_len: float) -> float:
    norm = K1 * (1 - B + B * relative_len)
    return sum(weight * bag[stem] * (K1 + 1) / (bag[stem] + norm) for stem, weight in weights.items() if stem in bag)
