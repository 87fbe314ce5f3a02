"""From a chunk of a source to clean training rows with their fingerprints: all that needs no other chunk.

Everything left out is counted by reason; rows that cannot be read come back as faults that name file, line, field
and bound. Pure functions of a chunk, so that processes can share the work.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from qdts.models.evaluation.contamination import Contamination
from qdts.models.evaluation.rows import Fields
from qdts.models.evaluation.splits import OFFICIAL_TEST_SETS, is_held_out
from qdts.models.training.data.chunks import Chunk
from qdts.models.training.data.cleaning import clean_text
from qdts.models.training.data.config import CleanConfig, Source, WeakConfig
from qdts.models.training.data.duplicates import Fingerprint, fingerprint
from qdts.models.training.data.filters import cleaned, unfit_reason
from qdts.models.training.data.pages import parse_page
from qdts.models.training.data.reading import fields_of
from qdts.models.training.data.rows import DOCUMENT_FIELDS, TrainRow, row_from_fields
from qdts.models.training.data.tally import Tally
from qdts.models.training.data.weak import Rarity, WeakMaker

# Of a longer page the beginning is read.
_MAX_PAGE_CHARS = 60_000


@dataclass(slots=True, kw_only=True)
class Collected:
    """The rows of one chunk that are fit to train on, each with its fingerprint; faults name rows that are not rows."""

    chunk: Chunk
    rows: list[TrainRow] = field(default_factory=list[TrainRow])
    fingerprints: list[Fingerprint] = field(default_factory=list[Fingerprint])
    faults: list[str] = field(default_factory=list[str])
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Reads chunks under one set of bounds."""

    contamination: Contamination
    clean: CleanConfig
    weak: WeakConfig

    def collect(self, chunk: Chunk) -> Collected:
        """The chunk's clean rows."""
        collected = Collected(chunk=replace(chunk, lines=(), documents=()))
        collected.tally.num_read[chunk.file] += chunk.num_read
        left_out = chunk.num_read - len(chunk.lines) - len(chunk.documents)
        if left_out:
            collected.tally.dropped[chunk.file, "outside of the source's share"] += left_out
        for row in self._prose_rows(chunk) if chunk.documents else self._read_rows(chunk, collected):
            reason = unfit_reason(row, self.clean) or self._contamination_reason(row)
            if reason:
                collected.tally.drop(chunk.file, reason)
            else:
                collected.rows.append(row)
                collected.fingerprints.append(fingerprint(row))
        return collected

    def _read_rows(self, chunk: Chunk, collected: Collected) -> Iterator[TrainRow]:
        for line in chunk.lines:
            try:
                fields = fields_of(line)
                row = row_from_fields(
                    fields,
                    set_name=chunk.source.name or chunk.file,
                    licence=chunk.source.licence,
                    kind=chunk.source.kind,
                )
            except ValueError as fault:
                collected.faults.append(f"{chunk.file}, line {line.number}: {fault}")
                collected.tally.num_bad[chunk.file] += 1
                continue
            reason = self._side_reason(fields, row, chunk.source, chunk.file)
            if reason:
                collected.tally.drop(chunk.file, reason)
            else:
                yield cleaned(replace(row, id=row.id or f"{chunk.file}:{line.number}"))

    def _side_reason(self, fields: Fields, row: TrainRow, source: Source, file: str) -> str:
        """Why the row is on evaluation's side, or not a question by itself. The rule looks at the text as it came."""
        document = next(str(fields[name]) for name in DOCUMENT_FIELDS if fields.get(name) is not None)
        if self.contamination.has_id(row.id):
            return "evaluation row"
        if file in OFFICIAL_TEST_SETS and fields.get("split") == "test":
            return "official test split"
        if source.hold_out and is_held_out(document):
            return "held out by the evaluation's rule"
        return "later turn of a dialogue" if fields.get("history") else ""

    def _contamination_reason(self, row: TrainRow) -> str:
        is_contaminated = self.contamination.is_contaminated(row.query, row.document)
        if is_contaminated or self.contamination.shares_ngram(f"{row.title}\n{row.reference}"):
            return "contaminated by the evaluation set"
        return ""

    def _prose_rows(self, chunk: Chunk) -> Iterator[TrainRow]:
        texts = [clean_text(document[:_MAX_PAGE_CHARS]) for document in chunk.documents]
        maker = WeakMaker(Rarity(texts), random.Random(chunk.seed), self.weak)
        for number, text in enumerate(texts):
            page = parse_page(text)
            if page is None:
                continue
            count = min(self.weak.max_per_page, 1 + sum(page.num_words) // self.weak.words_per_row)
            for index, row in enumerate(maker.rows(page, count)):
                yield replace(
                    row,
                    source=chunk.source.name or chunk.file,
                    licence=chunk.source.licence,
                    id=f"{chunk.seed}:{number}:{index}",
                )
