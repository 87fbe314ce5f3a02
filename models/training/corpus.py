"""Raw prose on disk: documents separated by a line `<|doc|>`, in .txt or .txt.zst files."""

import io
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import zstandard

SEPARATOR = "<|doc|>"
# The files are written with a 128 MiB window, which a decompressor refuses by default.
_WINDOW = 1 << 27


def read_documents(path: Path) -> Iterator[str]:
    """The documents of one file, one at a time."""
    lines: list[str] = []
    with _open(path) as file:
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


def _open(path: Path) -> TextIO:
    if path.suffix != ".zst":
        return path.open(encoding="utf-8")
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(path.open("rb"), closefd=True)
    return io.TextIOWrapper(reader, encoding="utf-8")
