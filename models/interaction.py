"""How each token of a document relates to the query, as numbers a net can use: the interaction features.

Encoder states stay query-free (`indexed` mode) while the decoder still sees where the query's words are. Columns
0 to 9 need the document's tokens and the query's, never a forward pass; the others compare encoder states
(`similarity.py`). Sentence values stand on every token of the sentence:

0 BM25 of the sentence / best in the document     1 BM25 / (BM25 + 5)          2 is the best by BM25
3 cosine of the sentence's vector with the query's 4 the same, 0..1 in the document
5 1 / (1 + rank) by 0 + 4                          6 share of the query's stems it holds
7 the token's idf if its stem is in the query      8 best cosine of the token with a query token
9 is the sentence's marker
10 cosine of the sentence's mean state with the query's 11 softmax of it over the document 12 the same / the largest
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdts.models.lexicon import Lexicon
from qdts.models.runtimes.base import Floats, Ids

NUM_TEXT_FEATURES = 10
NUM_SENTENCE_FEATURES = 7
NUM_STATE_FEATURES = 3
NUM_FEATURES = NUM_TEXT_FEATURES + NUM_STATE_FEATURES


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceView:
    """A sentence as the features see it: token ids (T,), the stem of each token's word, the tokens' mean vector (D,);
    and for the query its BM25, and how many of the query's stems it holds."""

    ids: Ids
    token_stems: Sequence[str]
    vector: Floats
    bm25: float
    num_held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryView:
    """A query as the features see it."""

    ids: Ids
    stems: frozenset[str]


def sentence_features(query: QueryView, sentences: Sequence[SentenceView], lexicon: Lexicon) -> Floats:
    """Columns 0 to 6 for each sentence: (N, 7)."""
    bm25 = np.array([s.bm25 for s in sentences], np.float32)  # (N,)
    cosine = np.array([s.vector for s in sentences], np.float32) @ lexicon.mean_vector(query.ids)  # (N,)
    relative_bm25, relative_cosine = bm25 / max(1e-6, float(bm25.max())), _to_unit_range(cosine)
    fused = relative_bm25 + relative_cosine
    ranks = np.argsort(np.argsort(-fused, kind="stable"), kind="stable")
    held = np.array([s.num_held for s in sentences], np.float32) / max(1, len(query.stems))
    best = (bm25 == bm25.max()) & (bm25 > 0)
    columns = (relative_bm25, bm25 / (bm25 + 5), best, cosine, relative_cosine, 1 / (1 + ranks), held)
    return np.stack([column.astype(np.float32) for column in columns], axis=1)


def token_features(query: QueryView, sentences: Sequence[SentenceView], lexicon: Lexicon) -> Floats:
    """Columns 7 to 9 for each sentence's marker and its tokens, one after the other: (sum of 1 + T, 3)."""
    places = np.cumsum([0, *(1 + len(s.ids) for s in sentences)])
    features = np.zeros((places[-1], NUM_TEXT_FEATURES - NUM_SENTENCE_FEATURES), np.float32)
    features[places[:-1], 2] = 1.0
    is_token = features[:, 2] == 0
    ids = np.concatenate([s.ids for s in sentences])  # (all T,)
    features[is_token, 0] = _matched(query, sentences) * lexicon.idf[ids]
    if len(query.ids) and len(ids):
        features[is_token, 1] = _best_cosines(query, sentences, lexicon.unit_vectors(ids), lexicon)
    return features


def _best_cosines(query: QueryView, sentences: Sequence[SentenceView], tokens: Floats, lexicon: Lexicon) -> Floats:
    """Each token's with the query's: (all T,). A product for each sentence, since a product's last bits depend on its
    shape, and a sentence's features must not depend on the others."""
    vectors = lexicon.unit_vectors(query.ids).T  # (D, Q)
    ends = np.cumsum([len(s.ids) for s in sentences])[:-1]
    return np.concatenate([(part @ vectors).max(axis=1) for part in np.split(tokens, ends) if len(part)])


def _matched(query: QueryView, sentences: Sequence[SentenceView]) -> Floats:
    """1 where a token's word is one of the query's: (all T,)."""
    found: list[bool] = []
    for sentence in sentences:
        stems = sentence.token_stems
        found += [stem in query.stems for stem in stems] if sentence.num_held else [False] * len(stems)
    return np.array(found, np.float32)


def _to_unit_range(values: Floats) -> Floats:
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(1e-6, high - low)
