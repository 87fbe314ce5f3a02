"""Rows to sample summaries for: what a prompt is built from and a reward judges by, split by document.

Reads JSONL (query, doc, summary; title, answers where known) as evaluation does. Knows nothing of nets.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qdts.models.document import Document
from qdts.models.evaluation.contamination import Contamination
from qdts.models.evaluation.rows import EvalRow, read_fields, row_from_fields
from qdts.models.evaluation.splits import is_held_out, normalise
from qdts.models.prompt import Mode, Prompt, PromptBuilder
from qdts.models.training.reward import Rewarded


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRow:
    """One row and its identity: `key` is the same wherever the row stands."""

    item: Rewarded
    key: str

    def chance(self, purpose: str, seed: int) -> int:
        """A number in [0, 2^53), even over rows; the same for the same purpose and seed."""
        return _hash(purpose, str(seed), self.key)

    def mode(self, indexed_share: float, seed: int) -> Mode:
        """Which mode the row is sampled and trained in."""
        return "indexed" if self.chance("mode", seed) < indexed_share * 2**53 else "joint"

    def prompt(self, builder: PromptBuilder, mode: Mode, max_words: int) -> Prompt:
        """What the net reads of it."""
        document = Document(text=self.item.document, title=self.item.title)
        return builder.build(self.item.query, document, max_words=max_words, mode=mode)


class PreferenceRows:
    """The rows of some files, read anew each time: never all in memory.

    With `evaluation`, the directory of the evaluation data, every row that touches its fixed split is left out, and of
    the others those whose documents preparation holds out; with `unread` the latter are all there is: rows that a
    supervised stage has not learned by heart.
    `held_out` of the documents are for measuring, with all their rows; the others are for training.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        held_out: float,
        seed: int,
        evaluation: Path | None = None,
        unread: bool = False,
    ) -> None:
        self._paths = paths
        self._held_out = held_out
        self._seed = seed
        self._unread = unread
        self._contamination = Contamination.load(evaluation) if evaluation else None

    def training(self) -> Iterator[PreferenceRow]:
        """Rows to learn from, in the order of the files."""
        return (row for row in self._rows() if not self._is_held_out(row))

    def measuring(self) -> Iterator[PreferenceRow]:
        """Rows whose documents no training row has."""
        return (row for row in self._rows() if self._is_held_out(row))

    def _is_held_out(self, row: PreferenceRow) -> bool:
        return _hash("held out", str(self._seed), normalise(row.item.document)) < self._held_out * 2**53

    def _rows(self) -> Iterator[PreferenceRow]:
        seen: set[str] = set()
        for path in self._paths:
            name = path.name.split(".")[0]
            for fields in read_fields(path):
                row = _preference_row(row_from_fields(fields, name))
                if row.key not in seen and self._is_usable(row.item):
                    seen.add(row.key)
                    yield row

    def _is_usable(self, item: Rewarded) -> bool:
        if not item.document.strip() or not item.query.strip():
            return False
        if self._contamination is None:
            return not self._unread or is_held_out(item.document)
        if is_held_out(item.document) != self._unread:
            return False
        return not self._contamination.is_contaminated(item.query, item.document)


def _preference_row(row: EvalRow) -> PreferenceRow:
    item = Rewarded(
        query=row.query,
        title=row.title,
        document=row.document,
        reference=row.references[0],
        answers=row.answers,
    )
    text = f"{normalise(row.query)}\0{normalise(row.document)}"
    return PreferenceRow(item=item, key=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24])


def _hash(*parts: str) -> int:
    """53 bits: what a float holds."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") >> 11
