"""From the rows of a chunk that were kept to examples: leads limited, variants derived, prompts built.

Pure functions of the chunk, so that processes can share the work.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from qdts.models.document import Document
from qdts.models.prompt import PromptBuilder
from qdts.models.tokenizer import FIRST_MARKER, is_marker
from qdts.models.training.data.chunks import Chunk
from qdts.models.training.data.config import VariantConfig
from qdts.models.training.data.leads import is_lead, limit_leads
from qdts.models.training.data.rows import TrainRow
from qdts.models.training.data.tally import Origin
from qdts.models.training.data.variants import derive
from qdts.models.training.examples import Example, make_example, make_unanswered


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltExample:
    """An example, where it comes from, and what is counted of it."""

    example: Example
    origin: Origin
    traits: tuple[str, ...]
    markers: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Built:
    """The examples of one chunk; how many rows made none, by reason."""

    file: str
    examples: list[BuiltExample] = field(default_factory=list[BuiltExample])
    dropped: Counter[str] = field(default_factory=Counter[str])


def build(chunk: Chunk, rows: list[TrainRow], builder: PromptBuilder, config: VariantConfig) -> Built:
    """The examples of the kept rows of `chunk`, which holds no texts any more."""
    rng = random.Random(f"{chunk.seed}:variants")
    built = Built(file=chunk.file)
    limited = limit_leads(rows, chunk.source.max_lead_share, rng)
    if len(limited) < len(rows):
        built.dropped["answered by the lead"] += len(rows) - len(limited)
    for row in derive(limited, rng, config):
        document = Document(text=row.document, title=row.title)
        if row.is_negative:
            example = make_unanswered(builder, row.query, document)
        else:
            example = make_example(builder, row.query, document, row.reference)
        if example is None:
            built.dropped["no target in what is read"] += 1
        else:
            built.examples.append(_built(row, example))
    return built


def _built(row: TrainRow, example: Example) -> BuiltExample:
    chosen = example.target[is_marker(example.target)]
    return BuiltExample(
        example=example,
        origin=Origin(row.source, row.licence, row.kind),
        traits=tuple(_traits(row)),
        markers=tuple(int(index) for index in chosen.astype(np.int64) - FIRST_MARKER),
    )


def _traits(row: TrainRow) -> Iterator[str]:
    if row.is_negative:
        yield "negative"
    if row.id.endswith(":joined"):
        yield "joined"
    if is_lead(row):
        yield "lead"
