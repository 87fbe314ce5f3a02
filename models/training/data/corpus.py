"""Raw prose on disk: documents separated by a line `<|doc|>`, in .txt or .txt.zst files."""

import io
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from qdts.models.evaluation.rows import open_bytes

SEPARATOR = "<|doc|>"


def read_documents(path: Path) -> Iterator[str]:
    """The documents of one file, one at a time."""
    lines: list[str] = []
    with io.TextIOWrapper(open_bytes(path), encoding="utf-8") as file:
        for line in file:
            if line.strip() == SEPARATOR:
                yield "".join(lines)
                lines.clear()
            else:
                lines.append(line)
    if lines:
        yield "".join(lines)


def sample_documents(paths: Sequence[Path], share: float, seed: int) -> Iterator[str]:
    """A seeded `share` of all documents, taking turns between the files so that any beginning is a mixture."""
    rng = random.Random(seed)
    sources = [read_documents(path) for path in sorted(paths)]
    while sources:
        for source in tuple(sources):
            document = next(source, None)
            if document is None:
                sources.remove(source)
            elif rng.random() < share:
                yield document
