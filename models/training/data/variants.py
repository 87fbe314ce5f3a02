"""Rows derived from rows: queries their document does not answer, and documents of several passages.

A negative is a row's query over a close document of another row (neighbours.py), with no reference. A joined document
holds passages of such documents before and after the row's own, so that there is more to search than fits the prompt.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from qdts.models.text.sentences import split_sentences
from qdts.models.training.data.config import VariantConfig
from qdts.models.training.data.neighbours import Neighbours
from qdts.models.training.data.rows import TrainRow

# A negative's document is drawn from so many of the closest.
_NUM_CLOSE = 4
_MAX_PASSAGES = 12
_MIN_PASSAGE_WORDS = 40
_MAX_PASSAGE_WORDS = 250
# Of the joined: so many get short lines instead of passages, since only documents of many short sentences fill the
# markers of a prompt.
_LISTED_SHARE = 0.3
_MAX_LINES = 60


def derive(rows: Sequence[TrainRow], rng: random.Random, config: VariantConfig) -> Iterator[TrainRow]:
    """The rows, some of them joined, with negatives between them."""
    neighbours = Neighbours(rows)
    for row in rows:
        yield _joined_at_its_share(row, row, neighbours, rng, config)
        if rng.random() < config.negative_share:
            negative = make_negative(row, neighbours, rng)
            if negative is not None:
                yield _joined_at_its_share(negative, row, neighbours, rng, config)


def make_negative(row: TrainRow, neighbours: Neighbours, rng: random.Random) -> TrainRow | None:
    """The row's query over a document that does not answer it; None where no close one is at hand."""
    close = neighbours.of(row, _NUM_CLOSE)
    if not close:
        return None
    other = rng.choice(close)
    return replace(row, title=other.title, document=other.document, reference="", answers=(), id=f"{row.id}:none")


def _joined_at_its_share(
    row: TrainRow, asked: TrainRow, neighbours: Neighbours, rng: random.Random, config: VariantConfig
) -> TrainRow:
    """`asked` is the row as people wrote it: a negative has forgotten what would answer it."""
    if rng.random() >= config.joined_share:
        return row
    if rng.random() < _LISTED_SHARE:
        return join_lines(row, neighbours.short_lines(asked, _MAX_LINES), rng)
    max_words = rng.randint(min(300, config.max_joined_words), config.max_joined_words)
    return join_passages(row, neighbours.of(asked, _MAX_PASSAGES), rng, max_words)


def join_passages(row: TrainRow, others: Sequence[TrainRow], rng: random.Random, max_words: int) -> TrainRow:
    """The row with passages of `others` around its document, at most `max_words` in all; titles become headings."""
    room = max_words - len(row.document.split())
    passages: list[str] = []
    for other in others:
        if room < _MIN_PASSAGE_WORDS:
            break
        if other.document == row.document:
            continue
        passage = cut_passage(other.document, min(room, _MAX_PASSAGE_WORDS))
        room -= len(passage.split())
        passages.append(_headed(other.title, passage))
    if not passages:
        return row
    rng.shuffle(passages)
    passages.insert(rng.randint(0, len(passages)), _headed(row.title, row.document))
    return replace(row, title="", document="\n\n".join(passages), id=f"{row.id}:joined")


def join_lines(row: TrainRow, lines: Sequence[str], rng: random.Random) -> TrainRow:
    """The row's document with short lines of others before and after it, as pages have menus and lists."""
    if not lines:
        return row
    kept = rng.sample(lines, rng.randint(1, len(lines)))
    before = rng.randint(0, len(kept))
    parts = ["\n".join(kept[:before]), row.document, "\n".join(kept[before:])]
    return replace(row, document="\n\n".join(part for part in parts if part), id=f"{row.id}:joined")


def _headed(title: str, passage: str) -> str:
    return f"{title}\n\n{passage}" if title else passage


def cut_passage(document: str, max_words: int) -> str:
    """The beginning of a document up to the last sentence that fits; its first `max_words` words if none does."""
    end = words = 0
    for span in split_sentences(document):
        words += len(span.of(document).split())
        if words > max_words:
            break
        end = span.end
    return document[:end].strip() or " ".join(document.split()[:max_words])
