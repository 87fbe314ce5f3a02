"""Near-duplicates by MinHash over runs of five words, found by banding (Broder 1997, "On the resemblance and
containment of documents"; banding: Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", section 3.4).

P[min of h over A = min of h over B] = |A n B| / |A u B| = J,  so the share of equal entries of two signatures
estimates J. Signatures of 64 entries are compared only if all 8 entries of one of 8 bands are equal, which
happens with 1 - (1 - J^8)^8: 0.77 at J = 0.8, 0.99 at J = 0.9, 0.13 at J = 0.6.

Streaming, and bounded: memory is fixed when an index is made, 256 bytes a signature and 64 of bands. Knows nothing
of rows.
"""

import numpy as np
import numpy.typing as npt

from qdts.models.evaluation.ngrams import Hashes, ngram_hashes, words_of

SHINGLE_WORDS = 5
NUM_BANDS = 8
NUM_HASHES = 64

Signature = npt.NDArray[np.uint32]

# Multiply-shift hashing (Dietzfelbinger et al. 1997): the high half of a*x + b with a odd.
_RNG = np.random.default_rng(20_260_101)
_FACTORS = _RNG.integers(0, 1 << 63, NUM_HASHES, np.uint64) * np.uint64(2) + np.uint64(1)
_OFFSETS = _RNG.integers(0, 1 << 63, NUM_HASHES, np.uint64)
_HIGH = np.uint64(32)
_BAND_FACTORS = _RNG.integers(0, 1 << 63, NUM_HASHES // NUM_BANDS, np.uint64) * np.uint64(2) + np.uint64(1)
# Shingles are hashed in blocks, so that a text of a million words does not fill the memory.
_BLOCK = 4_096


def signature(text: str) -> Signature:
    """(64,) minima over the text's runs of five words; a shorter text is one run."""
    shingles = ngram_hashes(text, SHINGLE_WORDS)
    if not len(shingles):
        shingles = ngram_hashes(text, max(1, len(words_of(text))))
    if not len(shingles):
        return np.zeros(NUM_HASHES, np.uint32)
    minima = [_minima(shingles[first : first + _BLOCK]) for first in range(0, len(shingles), _BLOCK)]
    return np.min(minima, axis=0)


def _minima(shingles: Hashes) -> Signature:
    hashed = (shingles[:, None] * _FACTORS + _OFFSETS) >> _HIGH  # (S, 64)
    return hashed.min(axis=0).astype(np.uint32)


def similarity(left: Signature, right: Signature) -> float:
    """The estimate of the Jaccard similarity of two texts."""
    return float(np.mean(left == right))


class NearIndex:
    """The texts seen lately, and which of them a new one nearly repeats.

    A band's table has one place for each of twice `capacity` hashes: a later text takes an earlier one's place, and the
    earlier is then found by its other bands, or not at all. What is found is checked against its signature.
    """

    def __init__(self, capacity: int, threshold: float) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, is {capacity}")
        self._threshold = threshold
        self._num_added = 0
        self._signatures = np.zeros((capacity, NUM_HASHES), np.uint32)
        # The number of the first text of each one's group.
        self._groups = np.zeros(capacity, np.int64)
        self._tables = np.full((NUM_BANDS, 2 * capacity), -1, np.int32)

    def place(self, new: Signature) -> int:
        """The group of texts the new one belongs to: the number, from 0, of the first of them."""
        places = _band_hashes(new) % np.uint64(self._tables.shape[1])
        rows = np.arange(NUM_BANDS)
        number, size = self._num_added, len(self._signatures)
        near = self._nearest(new, self._tables[rows, places])
        group = number if near is None else int(self._groups[near % size])
        self._signatures[number % size], self._groups[number % size] = new, group
        self._tables[rows, places] = number
        self._num_added += 1
        return group

    def _nearest(self, new: Signature, found: npt.NDArray[np.int32]) -> int | None:
        """The most similar of the texts `found`, if it is similar enough and still remembered."""
        numbers = np.unique(found[found >= max(0, self._num_added - len(self._signatures))])
        if not len(numbers):
            return None
        similarities = (self._signatures[numbers % len(self._signatures)] == new).mean(axis=1)
        best = int(similarities.argmax())
        return int(numbers[best]) if similarities[best] >= self._threshold else None


def _band_hashes(new: Signature) -> Hashes:
    """(8,) one hash for the eight entries of each band."""
    bands = new.reshape(NUM_BANDS, -1).astype(np.uint64)
    return (bands * _BAND_FACTORS).sum(axis=1, dtype=np.uint64) >> np.uint64(20)
