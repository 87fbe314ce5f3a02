"""How good a summary is, as one number in [0, 1] and the parts it is made of: what teachers are reranked by and
preference pairs are made from.

Each part lies in [0, 1]. A part that does not apply (no answer known, no reference, no embedder) is absent, never
zero, and its weight falls to the others. Knows nothing of nets, teachers or training.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qdts.models.evaluation.metrics import contains_answer, copied_share, normalise_answer, rouge
from qdts.models.evaluation.semantic import Embedder
from qdts.models.text.words import word_starts
from qdts.models.training.wholeness import Wholeness

ANSWER = "answer"
OVERLAP = "overlap"
REFERENCE = "reference"
QUERY = "query"
SUPPORT = "support"
LENGTH = "length"
WHOLE = "whole"
FRESH = "fresh"
PARTS = (ANSWER, OVERLAP, REFERENCE, QUERY, SUPPORT, LENGTH, WHOLE, FRESH)

Parts = dict[str, float]

_WORD = re.compile(r"\w+")
# Three words in a row that were said before are a repetition; two can be a name.
_REPEATED_WORDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """Weights of the parts (only their proportions count), and the words a summary should have."""

    # A known answer stands in the summary; where none is known, overlap with the reference.
    answer: float = 0.3
    # ROUGE-L and word recall of the reference
    overlap: float = 0.15
    # Cosines with the reference and with the query
    reference: float = 0.1
    query: float = 0.1
    # 4-grams that stand in the document
    support: float = 0.15
    length: float = 0.1
    # Sentences begin and end as the document's do
    whole: float = 0.05
    # Nothing is said twice
    fresh: float = 0.05
    min_words: int = 8
    max_words: int = 35

    def __post_init__(self) -> None:
        weights = {name: getattr(self, name) for name in PARTS}
        for name, weight in weights.items():
            if weight < 0:
                raise ValueError(f"{name} must be at least 0, is {weight}")
        if not sum(weights.values()) > 0:
            raise ValueError(f"one of {', '.join(PARTS)} must be above 0")
        if not 1 <= self.min_words <= self.max_words:
            raise ValueError(f"min_words must lie in [1, max_words = {self.max_words}], is {self.min_words}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewarded:
    """What a summary is rewarded for. `reference` "" and `answers` () where none is known."""

    query: str
    document: str
    title: str = ""
    reference: str = ""
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardScore:
    """The weighted mean of those parts that apply; for an empty summary 0 and no parts."""

    total: float
    parts: Parts


class Reward:
    """One set of weights; without an embedder the two cosines do not apply."""

    def __init__(self, config: RewardConfig, embedder: Embedder | None = None) -> None:
        self.config = config
        self._embedder = embedder

    def score(self, row: Rewarded, summary_sentences: Sequence[str]) -> RewardScore:
        """The score of one summary; `score_many` is the faster way to score several."""
        return self.score_many([row], [summary_sentences])[0]

    def score_many(self, items: Sequence[Rewarded], summaries: Sequence[Sequence[str]]) -> list[RewardScore]:
        """One score per summary, `summaries[i]` being one for `items[i]`. Everything is embedded in one call.

        An item may stand in several places: its document is read once.
        """
        told = [tuple(" ".join(sentence.split()) for sentence in summary) for summary in summaries]
        told = [tuple(sentence for sentence in summary if sentence) for summary in told]
        cosines = self._cosines(items, told)
        documents = {item.document: Wholeness(item.document) for item in items}
        scored: list[RewardScore] = []
        for item, summary, close in zip(items, told, cosines, strict=True):
            parts = self._parts(item, summary, documents[item.document]) | close if summary else {}
            scored.append(RewardScore(total=self._total(parts), parts=parts))
        return scored

    def _total(self, parts: Parts) -> float:
        weights = {name: getattr(self.config, name) for name in parts}
        whole = sum(weights.values())
        return sum(weights[name] * value for name, value in parts.items()) / whole if whole else 0.0

    def _parts(self, item: Rewarded, summary: tuple[str, ...], document: Wholeness) -> Parts:
        text = " ".join(summary)
        return _answer_parts(item, text) | {
            SUPPORT: copied_share(summary, item.document) or 0.0,
            LENGTH: self._length(text),
            WHOLE: document.score(summary),
            FRESH: fresh_share(summary),
        }

    def _length(self, text: str) -> float:
        """1 inside the band, falling straight to 0 at no words and at twice the most."""
        words = len(word_starts(text))
        below = words / self.config.min_words
        above = 2 - words / self.config.max_words
        return max(0.0, min(1.0, below, above))

    def _cosines(self, items: Sequence[Rewarded], told: Sequence[tuple[str, ...]]) -> list[Parts]:
        """REFERENCE and QUERY of each summary."""
        if self._embedder is None:
            return [{} for _ in items]
        texts = [(" ".join(summary), item.reference, item.query) for item, summary in zip(items, told, strict=True)]
        wanted = list(dict.fromkeys(text for group in texts for text in group if text))
        vectors = dict(zip(wanted, self._embedder.embed(wanted), strict=True)) if wanted else {}

        def cosine(first: str, second: str) -> float:
            return min(1.0, max(0.0, float(vectors[first] @ vectors[second])))

        return [
            {name: cosine(text, other) for name, other in ((REFERENCE, reference), (QUERY, query)) if text and other}
            for text, reference, query in texts
        ]


def _answer_parts(item: Rewarded, text: str) -> Parts:
    """ANSWER and OVERLAP, where the row knows an answer or has a reference."""
    parts: Parts = {}
    if item.reference.strip():
        parts[OVERLAP] = parts[ANSWER] = overlap(text, item.reference)
    if any(normalise_answer(answer) for answer in item.answers):
        parts[ANSWER] = float(contains_answer(text, item.answers))
    return parts


def overlap(text: str, reference: str) -> float:
    """In [0, 1]: the mean of ROUGE-L (F1) and the share of the reference's different words that `text` has."""
    wanted = set(_WORD.findall(reference.lower()))
    found = wanted & set(_WORD.findall(text.lower()))
    recall = len(found) / len(wanted) if wanted else 0.0
    return (rouge(text, reference).rouge_l + recall) / 2


def fresh_share(sentences: Sequence[str]) -> float:
    """In [0, 1]: how many of a summary's runs of three words are different; 1 where there is none."""
    runs = [run for sentence in sentences for run in _runs(_WORD.findall(sentence.lower()))]
    return len(set(runs)) / len(runs) if runs else 1.0


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every run of three; of fewer words, the one run they are."""
    length = min(_REPEATED_WORDS, len(words))
    return (tuple(words[at : at + length]) for at in range(len(words) - length + 1 if length else 0))
