"""Sources as a stream of chunks: some rows or pages of one file, the files taking turns. The unit of parallel work.

Which rows belong to a share is decided by a hash of what they hold, so it depends on neither order nor processes.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
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
        for number, texts in enumerate(_batched(read_documents(path), _PAGES_PER_CHUNK)):
            kept = tuple(text for text in texts if _is_in_share(text.encode("utf-8", "replace"), source.share, seed))
            yield Chunk(source=source, file=name, seed=f"{seed}:{name}:{number}", num_read=len(texts), documents=kept)
    else:
        for number, lines in enumerate(_batched(read_lines(path), _ROWS_PER_CHUNK)):
            kept = tuple(line for line in lines if _is_in_share(line.text, source.share, seed))
            yield Chunk(source=source, file=name, seed=f"{seed}:{name}:{number}", num_read=len(lines), lines=kept)


def _is_in_share(text: bytes, share: float, seed: int) -> bool:
    return share >= 1.0 or zlib.crc32(text, seed & 0xFFFFFFFF) < share * _BUCKETS


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch
