"""Sources as a stream of chunks: some rows or pages of one file, the files taking turns. The unit of parallel work.

Which rows belong to a share is decided by a hash of what they hold, so it depends on neither order nor processes.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qdts.models.training.data.config import Source, is_prose
from qdts.models.training.data.corpus import read_documents
from qdts.models.training.data.reading import Line, read_lines

T = TypeVar("T")

_ROWS_PER_CHUNK = 256
_PAGES_PER_CHUNK = 64
_BUCKETS = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Lines of a JSONL file or documents of a prose file; `seed` is its own, the same in every run.

    `num_read` counts what was read for it, including what its source's share left out.
    """

    source: Source
    file: str
    seed: str
    num_read: int
    lines: tuple[Line, ...] = ()
    documents: tuple[str, ...] = ()


def read_chunks(sources: Sequence[Source], seed: int) -> Iterator[Chunk]:
    """Chunks of all files, one of each file in turn, so that any beginning is a mixture."""
    streams = [_chunks(source, path, seed) for source in sources for path in source.files()]
    while streams:
        for stream in tuple(streams):
            chunk = next(stream, None)
            if chunk is None:
                streams.remove(stream)
            else:
                yield chunk


def _chunks(source: Source, path: Path, seed: int) -> Iterator[Chunk]:
    name = path.name.split(".")[0]
    if is_prose(path):
        documents = _sampled(read_documents(path), _as_bytes, source.share, seed, _PAGES_PER_CHUNK)
        for number, (num_read, kept) in enumerate(documents):
            yield Chunk(
                source=source, file=name, seed=f"{seed}:{name}:{number}", num_read=num_read, documents=tuple(kept)
            )
    else:
        lines = _sampled(read_lines(path), _text_of, source.share, seed, _ROWS_PER_CHUNK)
        for number, (num_read, kept) in enumerate(lines):
            yield Chunk(source=source, file=name, seed=f"{seed}:{name}:{number}", num_read=num_read, lines=tuple(kept))


def _sampled(
    items: Iterable[T], key: Callable[[T], bytes], share: float, seed: int, size: int
) -> Iterator[tuple[int, list[T]]]:
    """Runs of `size` items of the share, each with how many were read for it; the last may hold fewer, or none."""
    kept: list[T] = []
    num_read = 0
    for item in items:
        num_read += 1
        if _is_in_share(key(item), share, seed):
            kept.append(item)
        if len(kept) == size:
            yield num_read, kept
            kept, num_read = [], 0
    if num_read:
        yield num_read, kept


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _text_of(line: Line) -> bytes:
    return line.text


def _is_in_share(text: bytes, share: float, seed: int) -> bool:
    return share >= 1.0 or zlib.crc32(text, seed & 0xFFFFFFFF) < share * _BUCKETS
