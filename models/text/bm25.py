"""How well each sentence of a document matches a query: BM25 with the sentences as the collection.

score(s) = sum over query stems q of idf(q) * f(q, s) * (k1 + 1) / (f(q, s) + k1 * (1 - b + b * |s| / mean)),
idf(q) = ln(1 + (N - n(q) + 0.5) / (n(q) + 0.5))
(Robertson & Zaragoza 2009, eq. 3.15; idf as in Lucene, never negative).
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from qdts.models.document import Span
from qdts.models.text.words import content_stems, split_words

K1 = 1.2
B = 0.5


def score_sentences(query: str, text: str, sentences: Sequence[Span]) -> list[float]:
    """One score >= 0 per sentence; 0 where no query word stands."""
    return score_bags(content_stems(query), sentence_bags(text, sentences))


def sentence_bags(text: str, sentences: Iterable[Span]) -> Iterator[Counter[str]]:
    """Stem counts of each sentence, one at a time: those of a long document would fill the memory."""
    for span in sentences:
        yield Counter(word.stem for word in split_words(span.of(text)))


def score_bags(query_stems: Sequence[str], bags: Iterable[Counter[str]]) -> list[float]:
    """BM25 of each bag for the query; a stem that stands twice in the query counts once."""
    places = {stem: place for place, stem in enumerate(dict.fromkeys(query_stems))}
    lengths: list[int] = []
    hits: list[dict[str, int]] = []
    for bag in bags:
        lengths.append(bag.total())
        # In the query's order, so that the sum does not depend on the order of the document's words.
        hits.append({stem: bag[stem] for stem in sorted(places.keys() & bag.keys(), key=places.__getitem__)})
    mean_len = max(1.0, sum(lengths) / max(1, len(lengths)))
    num_with = Counter(chain.from_iterable(hits))
    weights = {stem: _idf(num_with[stem], len(hits)) for stem in num_with}
    return [_score(found, weights, length / mean_len) for found, length in zip(hits, lengths, strict=True)]


def _idf(num_with: int, num_bags: int) -> float:
    return math.log(1 + (num_bags - num_with + 0.5) / (num_with + 0.5))


def _score(found: Mapping[str, int], weights: Mapping[str, float], relative_len: float) -> float:
    norm = K1 * (1 - B + B * relative_len)
    return sum(weights[stem] * count * (K1 + 1) / (count + norm) for stem, count in found.items())
