"""Does a training text contain, or come from, an evaluation row? Knows the rows, nothing of training.

A text is contaminated if it shares 13 words in a row with an evaluation document or reference (the measure of
Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C), equals such a document, or if
its query has the words of an evaluation query.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from qdts.models.evaluation.ngrams import ngram_hashes, words_of
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.splits import evaluation_ids, load_rows, normalise

NGRAM_WORDS = 13


class Contamination:
    """Answers for one text in microseconds; safe to copy into other processes (hashes are not salted)."""

    def __init__(self, rows: Iterable[EvalRow]) -> None:
        rows = list(rows)
        self._ids = frozenset(row.id for row in rows if row.id)
        self._queries = frozenset(_query_key(row.query) for row in rows)
        # Files differ in whether a document's first line is its title.
        texts = [text for row in rows for text in (row.document, f"{row.title}\n{row.document}")]
        self._documents = frozenset(normalise(text) for text in texts)
        read = [*self._documents, *(reference for row in rows for reference in row.references)]
        grams = [ngram_hashes(text, NGRAM_WORDS) for text in read]
        self._grams = np.unique(np.concatenate(grams)) if grams else np.empty(0, np.uint64)

    @classmethod
    def load(cls, data_dir: Path) -> "Contamination":
        """From the frozen evaluation ids and the data they point to."""
        return cls(load_rows(data_dir, evaluation_ids()))

    def has_id(self, row_id: str) -> bool:
        """True if this is the id of an evaluation row."""
        return row_id in self._ids

    def is_contaminated(self, query: str, text: str) -> bool:
        """True if the query, the whole text or 13 of its words in a row belong to an evaluation row."""
        if query and _query_key(query) in self._queries:
            return True
        return self.shares_ngram(text) or normalise(text) in self._documents

    def shares_ngram(self, text: str) -> bool:
        """True if 13 words in a row of `text` stand in an evaluation document or reference."""
        hashes = ngram_hashes(text, NGRAM_WORDS)
        if not len(hashes) or not len(self._grams):
            return False
        places = np.searchsorted(self._grams, hashes)
        places[places == len(self._grams)] = 0
        return bool(np.any(self._grams[places] == hashes))


def _query_key(query: str) -> str:
    """The query's words: a question mark or a capital does not make another question."""
    return " ".join(words_of(query)) or normalise(query)
