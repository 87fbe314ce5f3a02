"""Hashes of the runs of words of a text: what contamination and near-duplicates are measured on.

Words are what `\\w+` matches after NFKC and lower case, so that punctuation, white space and case do not count.
"""

import re
import unicodedata
import zlib

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

_WORD = re.compile(r"\w+")
# An odd multiplier from Knuth's MMIX generator: powers of it spread word hashes over 64 bits.
_MULTIPLIER = 6364136223846793005


def words_of(text: str) -> list[str]:
    """The words of `text` in order."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def ngram_hashes(text: str, num_words: int) -> Hashes:
    """One hash for each run of `num_words` words, the same in every process; empty if the text is shorter."""
    words = words_of(text)
    if len(words) < num_words:
        return np.empty(0, np.uint64)
    # crc32 and not hash(): the latter differs between processes.
    codes = np.fromiter((zlib.crc32(word.encode()) for word in words), np.uint64, len(words))
    powers = np.array([pow(_MULTIPLIER, power, 1 << 64) for power in range(num_words)], dtype=np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, num_words)
    return (windows * powers).sum(axis=1, dtype=np.uint64)
