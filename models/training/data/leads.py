"""Lead bias under control: how many rows may be answered by the first sentence of their document."""

import random
from collections.abc import Sequence

from qdts.models.text.sentences import split_sentences
from qdts.models.text.words import content_stems
from qdts.models.training.data.rows import TrainRow

# The first sentence answers if it holds this share of the reference's words.
_LEAD_SHARE = 0.7
_READ_CHARS = 1_500


def is_lead(row: TrainRow) -> bool:
    """Does the first sentence of the document answer, or begin the answer?"""
    if row.is_negative:
        return False
    document = row.document[:_READ_CHARS]
    first = split_sentences(document)[0].of(document)
    if row.reference.startswith(first):
        return True
    wanted = content_stems(row.reference)
    held = set(content_stems(first))
    return sum(stem in held for stem in wanted) >= _LEAD_SHARE * max(1, len(wanted))


def limit_leads(rows: Sequence[TrainRow], max_share: float, rng: random.Random) -> list[TrainRow]:
    """The rows in their order, with so few lead rows that they are at most `max_share` of what is left."""
    leads = [i for i, row in enumerate(rows) if is_lead(row)]
    if max_share >= 1.0:
        return list(rows)
    allowed = int(max_share / (1 - max_share) * (len(rows) - len(leads)))
    dropped = set(rng.sample(leads, max(0, len(leads) - allowed)))
    return [row for i, row in enumerate(rows) if i not in dropped]
