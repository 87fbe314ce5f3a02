"""Files take turns; a share is the same rows in any order, and part of a larger share."""

from pathlib import Path

import pytest

from qdts.models.training.data.chunks import Chunk, read_chunks
from qdts.models.training.data.config import Source


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_text("".join(f'{{"n": {i}}}\n' for i in range(600)))
    (tmp_path / "b.jsonl").write_text('{"n": "b"}\n')
    (tmp_path / "c.txt").write_text("\n<|doc|>\n".join(f"Page {i}" for i in range(70)))
    return tmp_path


def chunks(files: Path, share: float = 1.0, seed: int = 0) -> list[Chunk]:
    paths = tuple(files / name for name in ("a.jsonl", "b.jsonl", "c.txt"))
    return list(read_chunks([Source(paths=paths, licence="CC0", share=share)], seed))


def texts(made: list[Chunk]) -> set[str]:
    lines = {line.text.decode() for chunk in made for line in chunk.lines}
    return lines | {document for chunk in made for document in chunk.documents}


def test_files_take_turns(files: Path) -> None:
    made = chunks(files)
    assert [chunk.file for chunk in made] == ["a", "b", "c", "a", "c", "a"]
    assert [chunk.num_read for chunk in made] == [256, 1, 64, 256, 6, 88]
    assert len({chunk.seed for chunk in made}) == len(made)
    assert len(texts(made)) == 671


def test_shares(files: Path) -> None:
    half, tenth = chunks(files, 0.5), chunks(files, 0.1)
    assert 250 < len(texts(half)) < 420
    assert texts(tenth) < texts(half)
    assert texts(chunks(files, 0.5, seed=1)) != texts(half) == texts(chunks(files, 0.5))
    assert sum(chunk.num_read for chunk in half) == 671
    assert not texts(chunks(files, 0.0))
    assert [len(chunk.lines) for chunk in half if chunk.file == "a"][0] == 256, "chunks are full, whatever the share"
