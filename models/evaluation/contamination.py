"""Does a training text contain, or come from, an evaluation row? Knows the rows, nothing of training.

A text is contaminated if it shares 13 words in a row with an evaluation document (the measure of
Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C), equals such a document, or if
its query equals an evaluation query.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.splits import evaluation_ids, load_rows, normalise

NGRAM_WORDS = 13

_WORD = re.compile(r"\w+")
_Hashes = npt.NDArray[np.uint64]
# An odd multiplier from Knuth's MMIX generator: powers of it spread word hashes over 64 bits.
_MULTIPLIER = 6364136223846793005
_POWERS = np.array([pow(_MULTIPLIER, power, 1 << 64) for power in range(NGRAM_WORDS)], dtype=np.uint64)


class Contamination:
    """Answers for one text in microseconds; safe to copy into other processes (hashes are not salted)."""

    def __init__(self, rows: Iterable[EvalRow]) -> None:
        rows = list(rows)
        self._queries = frozenset(normalise(row.query) for row in rows)
        # Files differ in whether a document's first line is its title.
        texts = [text for row in rows for text in (row.document, f"{row.title}\n{row.document}")]
        self._documents = frozenset(normalise(text) for text in texts)
        grams = [_ngram_hashes(document) for document in self._documents]
        self._grams = np.unique(np.concatenate(grams)) if grams else np.empty(0, np.uint64)

    @classmethod
    def load(cls, data_dir: Path) -> "Contamination":
        """From the frozen evaluation ids and the data they point to."""
        return cls(load_rows(data_dir, evaluation_ids()))

    def is_contaminated(self, query: str, text: str) -> bool:
        """True if the query, the whole text or 13 of its words in a row belong to an evaluation row."""
        if query and normalise(query) in self._queries:
            return True
        return self.shares_ngram(text) or normalise(text) in self._documents

    def shares_ngram(self, text: str) -> bool:
        """True if 13 words in a row of `text` stand in an evaluation document."""
        hashes = _ngram_hashes(text)
        if not len(hashes) or not len(self._grams):
            return False
        places = np.searchsorted(self._grams, hashes)
        places[places == len(self._grams)] = 0
        return bool(np.any(self._grams[places] == hashes))


def _ngram_hashes(text: str) -> _Hashes:
    words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    if len(words) < NGRAM_WORDS:
        return np.empty(0, np.uint64)
    # crc32 and not hash(): the latter differs between processes.
    codes = np.fromiter((zlib.crc32(word.encode()) for word in words), np.uint64, len(words))
    windows = np.lib.stride_tricks.sliding_window_view(codes, NGRAM_WORDS)
    return (windows * _POWERS).sum(axis=1, dtype=np.uint64)
