"""Rows that say again what an earlier row said, and rows of a document or question that has had its share.

The first of several stays. State grows with the rows kept, by some 400 bytes each, beside the fixed memory of the
index of documents (minhash.py). Deterministic in the order of rows.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass

from qdts.models.evaluation.ngrams import words_of
from qdts.models.text.words import content_stems
from qdts.models.training.data.config import DuplicateConfig
from qdts.models.training.data.minhash import NearIndex, Signature, signature
from qdts.models.training.data.rows import TrainRow

# A question of fewer words is asked of many documents in good faith: "history", "what is it?".
_MIN_QUESTION_STEMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """All that duplicates are known by: hashes of 64 bits, and the document's signature."""

    document: int
    signature: Signature
    question: int
    reference: int
    # Can the question be taken for the same wherever it is asked?
    is_specific: bool


def fingerprint(row: TrainRow) -> Fingerprint:
    """The row's fingerprint; the costly part of finding duplicates, and free of state."""
    stems = content_stems(row.query)
    return Fingerprint(
        document=_hash(" ".join(words_of(row.document))),
        signature=signature(row.document),
        question=_hash(" ".join(sorted(stems))),
        reference=_hash(" ".join(words_of(row.reference))),
        is_specific=len(stems) >= _MIN_QUESTION_STEMS,
    )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


class Duplicates:
    """What has been kept so far."""

    def __init__(self, config: DuplicateConfig) -> None:
        self._config = config
        self._index = NearIndex(config.capacity, config.similarity)
        self._groups: dict[int, int] = {}  # group of each document that was placed
        self._pairs: set[tuple[int, int]] = set()  # document and question
        self._near_pairs: set[tuple[int, int]] = set()  # group and question
        self._answers: set[tuple[int, int]] = set()  # question and reference
        self._references: set[tuple[int, int]] = set()  # reference and group
        self._per_group: Counter[int] = Counter()
        self._per_question: Counter[int] = Counter()
        self._per_reference: Counter[int] = Counter()

    def reason(self, row: Fingerprint, max_per_document: int) -> str:
        """Why this row is dropped; "" if it is kept, which is then remembered."""
        if (row.document, row.question) in self._pairs:
            return "repeated row"
        group = self._group(row)
        if reason := self._near_reason(row, group) or self._cap_reason(row, group, max_per_document):
            return reason
        self._remember(row, group)
        return ""

    def _group(self, row: Fingerprint) -> int:
        """The group of near-duplicate documents; a document seen before is not placed again."""
        if row.document not in self._groups:
            self._groups[row.document] = self._index.place(row.signature)
        return self._groups[row.document]

    def _near_reason(self, row: Fingerprint, group: int) -> str:
        if (group, row.question) in self._near_pairs:
            return "near-duplicate document, same question"
        if row.is_specific and (row.question, row.reference) in self._answers:
            return "same question, same reference"
        return ""

    def _cap_reason(self, row: Fingerprint, group: int, max_per_document: int) -> str:
        if self._per_group[group] >= max_per_document:
            return "document has its share of rows"
        if self._per_question[row.question] >= self._config.max_per_question:
            return "question asked too often"
        is_new = (row.reference, group) not in self._references
        if is_new and self._per_reference[row.reference] >= self._config.max_per_reference:
            return "reference of too many documents"
        return ""

    def _remember(self, row: Fingerprint, group: int) -> None:
        self._pairs.add((row.document, row.question))
        self._near_pairs.add((group, row.question))
        self._answers.add((row.question, row.reference))
        self._per_group[group] += 1
        self._per_question[row.question] += 1
        if (row.reference, group) not in self._references:
            self._references.add((row.reference, group))
            self._per_reference[row.reference] += 1
